"""Models measured layer by layer, and beside float."""

import numpy as np
import pytest
import torch
from torch import nn

from small_networks import Everything, inputs, net
from weft.dram import memory_of
from weft.errors import Mismatch, Unsupported, UsageError
from weft.measure.accuracy import evaluate_network
from weft.measure.model import bench_model
from weft.runtime.compile import build, compile_model, plan_network, quantised_network
from weft_hw.config import preset

CONFIG = preset("pynq-z2")
X = inputs(3, 32, 32)


def bench(compiled, backend="emulator"):
    told = []
    with compiled.open(backend) as running:
        given = {compiled.artefact.inputs[0].name: X[:1].numpy()}
        results = bench_model(compiled, running, given, memory_of(CONFIG), told.append)
    return results, told


@pytest.fixture(scope="module")
def compiled():
    torch.manual_seed(0)
    return compile_model(Everything().eval(), X)


def test_layers_and_total(compiled):
    results, told = bench(compiled)
    names = [r.name for r in compiled.explain()]
    assert [r.name for r in results] == [*names, "total"]
    chip = [r for r in results[:-1] if r.where == "accelerator"]
    host = [r for r in results[:-1] if r.where == "host"]
    assert [r.op for r in host] == ["quantise", "dequantise", "softmax"]
    assert all(r.exact is None and r.predicted_cycles is None for r in host)
    assert all(r.exact and r.cycles is None and r.predicted_cycles > 0 for r in chip)
    total = results[-1]
    assert total.op == "total" and total.exact and total.macs == sum(r.macs for r in chip)
    # Layers that are fused have one bound, and it is none of theirs alone.
    one = [r.roofline_cycles for r in compiled.explain() if r.roofline_cycles is not None]
    assert len(one) < len(chip)
    assert total.roofline_cycles == pytest.approx(sum(one))
    assert len(told) == len(chip) + 1


def test_a_difference_is_named(compiled, monkeypatch):
    from weft.backend.emulator import EmulatorBackend

    run = EmulatorBackend.run

    def wrong(self, *given):
        found = run(self, *given)
        if "c2" in found:
            found["c2"][0, 1, 2] ^= 1
        return found

    monkeypatch.setattr(EmulatorBackend, "run", wrong)
    with pytest.raises(Mismatch, match=r"layer 'c2', tile 0 \(columns 0..7\): element \[1, 2\]"):
        bench(compiled)


def test_nothing_on_the_accelerator():
    model = compile_model(net(nn.Softmax(1)), inputs(6))
    with model.open() as running, pytest.raises(Unsupported, match="nothing of the model runs"):
        bench_model(model, running, {}, memory_of(CONFIG))


def evaluated(batches, keep_float=(), layer_examples=16):
    torch.manual_seed(0)
    model = Everything().eval()
    network, floats = quantised_network(model, X, keep_float=keep_float)
    sources = {op.output: op.inputs[0] for op in network.operators if op.op == "quantise"}
    planned = plan_network(network, CONFIG, memory_of(CONFIG))
    compiled = build(planned)
    with compiled.open("torch-int") as running:
        result = evaluate_network(
            "it", planned, compiled, running, floats, sources, batches,
            layer_examples=layer_examples,
        )  # fmt: skip
        return result, model, running


def test_evaluate():
    with torch.no_grad():
        torch.manual_seed(0)
        labels = Everything().eval()(X).argmax(1)
    result, _, _ = evaluated([(X[:3], labels[:3]), (X[3:], labels[3:])])
    assert (result.examples, result.layer_examples, result.float_accuracy) == (4, 4, 1.0)
    assert result.accuracy == result.top1_agreement and result.cosine_min <= result.cosine_mean
    assert result.cosine_min > 0.999 and result.max_error < 0.01
    noises = [layer.snr_db for layer in result.layers]
    assert noises == sorted(noises) and noises[0] > 20
    assert {layer.name for layer in result.layers} == {"c1", "mp", "c2", "c3", "pool", "fc"}


def test_noise_is_measured_against_float():
    """A layer whose integers are wrong is the worst, by as much as they are."""
    result, _, _ = evaluated([X], layer_examples=1)
    assert result.accuracy is None and result.layer_examples == 1
    (first,) = [layer for layer in result.layers if layer.name == "c1"]
    # By hand: the first convolution's integers beside its reals.
    torch.manual_seed(0)
    model = Everything().eval()
    with torch.no_grad():
        padded = nn.functional.pad(X[:1], [0, 1, 0, 1])
        want = nn.functional.relu6(model.b1(model.c1(padded))).numpy()
    network, _ = quantised_network(model, X)
    planned = plan_network(network, CONFIG, memory_of(CONFIG))
    op = next(op for op in planned.network.operators if op.name == "c1")
    compiled, kept = build(planned), {}
    with compiled.open("torch-int") as running:
        import weft.compiler.graph.parts as parts
        from weft.compiler.graph.reference import TorchInt

        running.on_program = lambda i, given, got: kept.update(given)
        running(X[:1])
        every, _ = TorchInt().run(parts.with_all_outputs(compiled.graphs[0]), kept)
    scale = planned.network.values[op.output].scale
    got = scale.real(every["c1"]).transpose(2, 0, 1)[None]
    db = 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())
    assert first.snr_db == pytest.approx(db, abs=0.01)


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "there is no example to evaluate"),
        ([(X, torch.zeros(3, dtype=torch.long))], "labels must be 4 integers"),
        ([(X, torch.zeros(4))], "labels must be 4 integers, not torch.float32"),
        ([X / 0], "inputs must be finite"),
    ],
)
def test_bad_data(batches, words):
    with pytest.raises(UsageError, match=words):
        evaluated(batches)
