"""Whole networks on the Verilated top: equal to torch-int, and as fast as predicted."""

from __future__ import annotations

import pytest
import torch

from weft.compiler.graph.network import BORDERS
from weft.compiler.lower import choose
from weft.models.builtin import builtin
from weft.runtime.compile import compile_model

pytestmark = pytest.mark.sim

#: Predicted against simulated cycles, of a whole network.
MODEL_ERROR = 0.05
SMALL = ("digits", "autoencoder", "ds-cnn", "mobilenet-v1-0.25", "resnet8")
#: Least network MAC utilisation.
LARGE = {"resnet18": 0.85, "mobilenet-v1": 0.9, "mobilenet-v2": 0.8, "efficientnet-lite0": 0.75}
USED = LARGE | {"ds-cnn": 0.5, "mobilenet-v1-0.25": 0.49}
SEPARABLE = ("ds-cnn", "mobilenet-v1-0.25", "mobilenet-v1", "mobilenet-v2", "efficientnet-lite0")


def on_rtl(name):
    """(cycles, predicted cycles, network MAC utilisation) of one example on the RTL."""
    entry = builtin(name)
    x = entry.examples(4, seed=1)
    compiled = compile_model(entry.make(), x)
    work = [r for r in compiled.explain() if r.op not in BORDERS]
    assert all(r.where == "accelerator" for r in work) and len(compiled.programs) == 1
    assert sum(r.macs for r in work) == entry.macs
    with compiled.open("torch-int") as reference:
        want = reference(x[:1])
    with compiled.open("rtl") as rtl:
        got, cycles = rtl(x[:1]), rtl.cycles
    assert torch.equal(got, want), name
    config, about = compiled.artefact.config, compiled.program.metadata
    return cycles, about["predicted_cycles"], entry.macs / (config.macs_per_cycle * cycles)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks(name):
    cycles, predicted, used = on_rtl(name)
    print(f"{name}: {cycles:,} cycles, {predicted / cycles - 1:+.2%}, {used:.3f} of the array")
    assert abs(predicted / cycles - 1) <= MODEL_ERROR
    assert used >= USED.get(name, 0)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", LARGE)
def test_large_networks(name):
    cycles, predicted, used = on_rtl(name)
    print(f"{name}: {cycles:,} cycles, {predicted / cycles - 1:+.2%}, {used:.3f} of the array")
    assert abs(predicted / cycles - 1) <= MODEL_ERROR
    assert used >= LARGE[name]


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SEPARABLE)
def test_what_the_engine_and_fusing_are_worth(name, monkeypatch):
    """Predicted: all on the array, each node on its unit, and fused."""
    entry = builtin(name)
    x = entry.examples(4, seed=1)

    def predicted(preset):
        model = compile_model(entry.make(), x, platform=preset)
        return model.program.metadata["predicted_cycles"]

    array, fused = predicted("pynq-z2-array"), predicted("pynq-z2")
    monkeypatch.setattr(choose, "_fused", lambda *_: None)
    apart = predicted("pynq-z2")
    print(f"{name}: array only {array:,}, apart {apart:,}, fused {fused:,}")
    assert fused < apart < array
