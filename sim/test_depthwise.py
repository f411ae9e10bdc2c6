"""Depthwise convolutions on the Verilated top: alone, and fused with the product behind them."""

from __future__ import annotations

import pytest

from maps import run
from random_maps import MapMaker, separable
from weft.backend.rtl.backend import RtlBackend
from weft.compiler.graph.window import Window
from weft.compiler.lower.nodes import problem_of
from weft.compiler.lower.program import scheduled
from weft.dram import memory_of
from weft.errors import Unsupported
from weft_hw.config import preset
from weft_hw.isa import Opcode

pytestmark = pytest.mark.sim

#: Predicted against simulated cycles; cycles of a fused block against its ideal.
MODEL_ERROR, OVER_IDEAL = 0.05, 1.12
SAME = (1, 1, 1, 1)


def fused(program) -> bool:
    return any("middle_banks" in node["schedule"] for node in program.metadata["nodes"])


@pytest.mark.parametrize("name", ["tiny", "tiny-wide", "pynq-z2"])
def test_random_blocks(devices, seed, name):
    """Sizes, strides, borders, channels; expanded before, added to behind, or alone."""
    print(f"seeds {seed}..{seed + 24} on {name}")
    pairs = engine = 0
    for number in range(25):
        graph = separable(seed + number)
        try:
            program, _ = run(devices(name), graph, seed + number, (0.0, 0.4)[number % 2])
        except Unsupported:
            continue
        pairs += fused(program)
        engine += any(i.opcode is Opcode.DEPTHWISE for i in program.instructions)
    assert pairs >= 4 and engine >= 8, (pairs, engine)


#: Blocks of MobileNetV1: map, channels, stride, outputs.
BLOCKS = {
    "14x14 512-512": (14, 512, 1, 512),
    "56x56 128-128, stride 2": (56, 128, 2, 128),
    "112x112 32-64": (112, 32, 1, 64),
    "56x56 128-128": (56, 128, 1, 128),
    "7x7 1024-1024": (7, 1024, 1, 1024),
}
_FULL = list(BLOCKS)[2:]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.full] * (c in _FULL)) for c in BLOCKS]
)
def test_blocks_of_mobilenet(devices, request, case):
    """At 100 MHz on a PYNQ-Z2, with the DRAM model on; beside it, predicted, what the nodes would
    take alone, on their units and on the array."""
    size, channels, stride, outputs = BLOCKS[case]
    maker = MapMaker(3)
    window = Window((3, 3), (stride, stride), padding=SAME)
    between = maker.depthwise(maker.input((size, size, channels)), window)
    graph = maker.build(maker.conv2d(between, outputs, Window()))
    rtl = devices("pynq-z2")
    program, counters = run(rtl, graph, 1)
    pixels, (k, n) = (size // stride) ** 2, (-(-channels // 16), -(-outputs // 16))
    moved = size**2 * channels + pixels * outputs + channels * (outputs + 9)
    ideal = max(
        pixels * k * n,
        pixels * k * (3 if stride == 1 else 6),
        moved / memory_of(rtl.config).deliverable_bytes_per_cycle,
    )
    cycles, predicted = counters["cycles"], program.metadata["predicted_cycles"]
    memory = memory_of(rtl.config)
    apart, array = (
        sum(
            scheduled(preset(name), problem_of(graph, node), memory).prediction.cycles
            for node in graph.nodes
        )
        for name in ("pynq-z2", "pynq-z2-array")
    )
    request.config.weft_rates.append(
        f"pynq-z2 {case}: {cycles:,} cycles {'fused' if fused(program) else 'apart'}, "
        f"{cycles / ideal:.3f} of the ideal, predicted {predicted / cycles - 1:+.1%}; "
        f"apart {apart:,}, array only {array:,}; {counters['depthwise_conflicts']} conflicts"
    )
    assert cycles <= OVER_IDEAL * ideal
    assert abs(predicted / cycles - 1) <= MODEL_ERROR
    if fused(program):
        stored = sum(
            i["rows"] * i["bytes"] for i in program.instructions if i.opcode is Opcode.STORE
        )
        assert stored == pixels * outputs


def test_without_the_engine():
    """Everything on the array; the counters of the unit that is absent are 0."""
    config = preset("tiny").replace(name="tiny-array", tap_words=0)
    with RtlBackend(config, timeout_cycles=5_000_000) as rtl:
        for seed in range(6):
            program, counters = run(rtl, separable(seed), seed)
            assert all(i.opcode is not Opcode.DEPTHWISE for i in program.instructions)
            assert counters["array_rows"] and not counters["depthwise_fires"]
