"""Whole models of the kinds that people have, with random weights: what runs where, and the same
bits on two backends.
"""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

import weft  # noqa: E402

H, WORDS = 32, 60


class Lora(nn.Module):
    """A linear layer with a low-rank addition, which asks its parts for their dtype."""

    def __init__(self, base, rank=4):
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        wide = x.to(self.lora_A.weight.dtype)
        return self.base_layer(x) + 2 * self.lora_B(self.lora_A(wide))


class Masked(nn.Linear):
    """A linear layer half of whose weights a mask takes away."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("mask", (torch.arange(self.weight.numel()) % 2).reshape(sizes[::-1]))

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(H, H, batch_first=True), nn.Linear(H, 5)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


class Functional(nn.Module):
    """Its second layer is only a place for weights."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(H, H), nn.Linear(H, 2 * H)

    def forward(self, x):
        return nn.functional.linear(self.first(x), self.second.weight)


def hugging_face(name, config, **settings):
    configuration = getattr(transformers, f"{config}Config")(**settings)
    return getattr(transformers, name)(configuration)


BERT = {"vocab_size": WORDS, "hidden_size": H, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 48}
DECODER = {"vocab_size": WORDS, "hidden_size": H, "num_hidden_layers": 1, "intermediate_size": 48,
           "num_attention_heads": 2, "num_key_value_heads": 1, "use_cache": False}
MODELS = {
    "bert": lambda: hugging_face("BertModel", "Bert", **BERT),
    "distilbert": lambda: hugging_face("DistilBertModel", "DistilBert", vocab_size=WORDS, dim=H,
                                       n_layers=1, n_heads=2, hidden_dim=48),
    "vit": lambda: hugging_face("ViTForImageClassification", "ViT", hidden_size=H, image_size=16,
                                num_hidden_layers=1, num_attention_heads=2, patch_size=4,
                                intermediate_size=48),
    "gpt2": lambda: hugging_face("GPT2LMHeadModel", "GPT2", vocab_size=WORDS, n_embd=H, n_layer=1,
                                 n_head=2, n_positions=32, use_cache=False),
    "llama": lambda: hugging_face("LlamaForCausalLM", "Llama", **DECODER),
    "mixtral": lambda: hugging_face("MixtralForCausalLM", "Mixtral", num_local_experts=4,
                                    num_experts_per_tok=2, **DECODER),
    "t5": lambda: hugging_face("T5ForConditionalGeneration", "T5", vocab_size=WORDS, d_model=H,
                               d_kv=8, d_ff=48, num_layers=1, num_heads=2, use_cache=False,
                               decoder_start_token_id=0),
    "whisper": lambda: hugging_face(
        "WhisperForConditionalGeneration", "Whisper", vocab_size=WORDS, d_model=H, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, num_mel_bins=8,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_source_positions=16, use_cache=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        suppress_tokens=[], begin_suppress_tokens=[]),
    "lora": lambda: nn.Sequential(Lora(nn.Linear(H, 24)), nn.ReLU(), nn.Linear(24, 8)),
    "masked": lambda: nn.Sequential(Masked(H, 24), nn.ReLU(), nn.Linear(24, 8)),
    "lstm": Recurrent,
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(H, 2, 48, batch_first=True), 1, enable_nested_tensor=False),
    "itself": lambda: nn.Linear(H, 12),
    "functional": Functional,
}
#: Multiplications that the accelerator must have, of all in the model.
COVERAGE = {"bert": (0.9, 1), "distilbert": (0.9, 1), "vit": (0.7, 0.8), "gpt2": (0.9, 1),
            "llama": (0.9, 1), "mixtral": (0.2, 0.6), "t5": (0.9, 1), "whisper": (0.7, 0.95),
            "lora": (1, 1), "masked": (192 / 960, 192 / 960),
            "lstm": (5 * H / (5 * H + 8 * H * H), 5 * H / (5 * H + 8 * H * H)),
            "encoder": (0.4, 0.6), "itself": (1, 1), "functional": (1 / 3, 1 / 3)}


def inputs_for(name, seed):
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(3, WORDS, (2, 9), generator=generator)
    if name == "vit":
        return {"pixel_values": torch.randn(2, 3, 16, 16, generator=generator)}
    if name == "whisper":
        return {"input_features": torch.randn(1, 8, 32, generator=generator),
                "decoder_input_ids": words[:1]}
    if name == "t5":
        return {"input_ids": words, "decoder_input_ids": words[:, :5]}
    if name in ("bert", "distilbert", "gpt2", "llama", "mixtral"):
        return {"input_ids": words}
    return (torch.randn(2, 7, H, generator=generator),)


def tensor(output):
    if isinstance(output, torch.Tensor):
        return output
    return output.logits if "logits" in output else output.last_hidden_state


def run(model, inputs):
    with torch.no_grad():
        return tensor(model(**inputs) if isinstance(inputs, dict) else model(*inputs))


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    torch.manual_seed(0)
    return MODELS[name]().eval()


def test_whole_models(name, model):
    """Same bits on two backends, near to float, coverage as it is, and nothing left behind."""
    calibration = [inputs_for(name, seed) for seed in range(3)]
    one = calibration[1]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    want, answers = run(model, one), []
    for backend in ("emulator", "torch-int"):
        fast = weft.accelerate(model, calibration=calibration, preset="tiny", backend=backend)
        with fast:
            answers.append(run(model, one))
            ran = {r.layer for r in fast.session.runs}
            claimed = {c.layer for c in fast.choices if c.where == "accelerator"}
            assert ran == claimed, "each claimed layer ran, and no other"
            least, most = COVERAGE[name]
            assert least - 1e-9 <= fast.coverage <= most + 1e-9
            macs = sum(r.m * r.k * r.n for r in fast.session.runs)
            assert macs / sum(fast.macs.values()) == pytest.approx(fast.coverage)
            assert all(c.snr_db > 15 for c in fast.choices if c.layer in claimed)
            state = model.state_dict()
            assert state.keys() == before.keys()
            assert all(torch.equal(state[key], before[key]) for key in before)
    assert torch.equal(*answers)
    assert answers[0].shape == want.shape and answers[0].dtype == want.dtype
    signal, noise = (want**2).sum(), ((answers[0] - want) ** 2).sum()
    assert 10 * torch.log10(signal / noise) > 15
    assert torch.equal(run(model, one), want), "torch computes again"


def test_what_stays_on_the_host_says_why():
    torch.manual_seed(0)
    reasons = {}
    for name in ("masked", "functional", "encoder"):
        calibration = [inputs_for(name, 0)]
        with weft.accelerate(
            MODELS[name]().eval(), calibration=calibration, preset="tiny", backend="torch-int"
        ) as fast:
            reasons |= {c.layer: c.reason for c in fast.choices if c.where == "host"}
    assert reasons == {
        "0": "Masked has a forward of its own",
        "second": "not called by the calibration",
        "layers.0.self_attn.out_proj": "not called by the calibration",
    }


def test_eight_threads_get_their_own_answers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5)).eval()
    inputs = [torch.randn(1 + i % 5, 12) for i in range(50)]
    wrong = []
    with weft.accelerate(model, calibration=inputs, preset="tiny") as fast:
        want = [fast(x) for x in inputs]

        def work(first):
            for i in range(250):
                at = (first * 7 + i) % len(inputs)
                if not torch.equal(fast(inputs[at]), want[at]):
                    wrong.append(at)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(fast.session.runs) == 2 * (50 + 2000)
    assert not wrong


def test_sentences_are_embedded_under_inference_mode():
    """sentence-transformers encodes under torch.inference_mode()."""
    torch.manual_seed(0)
    model = MODELS["bert"]().eval()
    calibration = [inputs_for("bert", seed) for seed in range(3)]
    with weft.accelerate(model, calibration=calibration, preset="tiny", backend="torch-int"):
        want = run(model, calibration[0])
        with torch.inference_mode():
            assert torch.equal(tensor(model(**calibration[0])), want)


def test_a_copy_runs_and_a_saved_model_is_whole(tmp_path):
    model = MODELS["bert"]().eval()
    x = inputs_for("bert", 0)
    with weft.accelerate(model, calibration=[x], preset="tiny", backend="torch-int") as fast:
        want = run(model, x)
        assert torch.equal(run(copy.deepcopy(model), x), want)
        assert fast.session.runs
        model.save_pretrained(tmp_path)
        with pytest.raises(weft.errors.UsageError, match="cannot be pickled; save model.state"):
            torch.save(model, tmp_path / "whole.pt")
    again = transformers.BertModel.from_pretrained(tmp_path).eval()
    assert np.allclose(run(again, x), run(model, x), atol=1e-6)
