"""Depthwise convolutions on the Verilated top: alone, and fused with the product behind them."""

from __future__ import annotations

import pytest

from maps import run
from random_maps import MapMaker, separable
from weft.backend.rtl.backend import RtlBackend
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.window import Window
from weft.compiler.lower.choose import scheduled
from weft.compiler.lower.nodes import problem_of
from weft.dram import memory_of
from weft.errors import Unsupported
from weft_hw.config import preset
from weft_hw.depthwise.unit import DepthwiseUnit
from weft_hw.isa import Opcode

pytestmark = pytest.mark.sim

#: Predicted against simulated cycles; cycles of a fused block against its ideal.
MODEL_ERROR, OVER_IDEAL = 0.05, 1.12
SAME = (1, 1, 1, 1)


def fused(program) -> int:
    """How many nodes are done at once with others."""
    return sum("middle_banks" in node["schedule"] for node in program.metadata["nodes"])


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset_name", ["tiny", "tiny-wide"])
def test_unit(bench, preset_name, stall):
    """The unit alone, under cocotb."""
    name = f"depthwise_{preset_name.replace('-', '_')}"
    dut = DepthwiseUnit(preset(preset_name))
    assert bench(dut, "bench_depthwise", name=name, preset=preset_name, stall=stall).tests == 2


@pytest.mark.parametrize("name", ["tiny", "tiny-wide", "pynq-z2"])
def test_random_blocks(devices, seed, name):
    """Sizes, strides, borders, channels; expanded before, added to behind, or alone."""
    print(f"seeds {seed}..{seed + 24} on {name}")
    counts = {0: 0, 2: 0, 3: 0}
    engine = 0
    for number in range(25):
        graph = separable(seed + number, expand=0.6)
        try:
            program, _ = run(devices(name), graph, seed + number, (0.0, 0.4)[number % 2])
        except Unsupported:
            continue
        counts[fused(program)] += 1
        engine += any(i.opcode is Opcode.DEPTHWISE for i in program.instructions)
    assert counts[2] >= 2 and counts[3] >= 2 and engine >= 8, (counts, engine)


#: Blocks of MobileNetV1, and of MobileNetV2: size of the map, channels that come in (0: those of
#: the map), channels of the map, stride, outputs. What has as many outputs is added to.
BLOCKS = {
    "14x14 512-512": (14, 0, 512, 1, 512),
    "56x56 128-128, stride 2": (56, 0, 128, 2, 128),
    "112x112 32-64": (112, 0, 32, 1, 64),
    "56x56 128-128": (56, 0, 128, 1, 128),
    "7x7 1024-1024": (7, 0, 1024, 1, 1024),
    "7x7 160-960-160": (7, 160, 960, 1, 160),
    "14x14 96-576-96": (14, 96, 576, 1, 96),
    "56x56 24-144-24": (56, 24, 144, 1, 24),
    "56x56 24-144-32, stride 2": (56, 24, 144, 2, 32),
    "112x112 16-96-24, stride 2": (112, 16, 96, 2, 24),
}
_EACH_TIME = ("14x14 512-512", "56x56 128-128, stride 2", "7x7 160-960-160")


def block(size: int, given: int, channels: int, stride: int, outputs: int) -> Graph:
    maker = MapMaker(3)
    x = start = maker.input((size, size, given or channels))
    if given:
        x = maker.conv2d(x, channels, Window())
    x = maker.depthwise(x, Window((3, 3), (stride, stride), padding=SAME))
    added = start if given == outputs and stride == 1 else None
    return maker.build(maker.conv2d(x, outputs, Window(), residual=added))


def ideal_of(memory, size: int, given: int, channels: int, stride: int, outputs: int) -> float:
    """Cycles of the array for all tiles, of the engine, or of the bytes: which are most."""
    pixels, (x, k, n) = (size // stride) ** 2, (-(-c // 16) for c in (given, channels, outputs))
    moved = size**2 * (given or channels) + pixels * outputs + channels * (given + outputs + 9)
    moved += size**2 * outputs if given == outputs and stride == 1 else 0
    return max(
        size**2 * x * k + pixels * k * n,
        pixels * k * (3 if stride == 1 else 6),
        moved / memory.deliverable_bytes_per_cycle,
    )


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.full] * (c not in _EACH_TIME)) for c in BLOCKS]
)
def test_blocks_of_mobilenet(devices, request, case):
    """At 100 MHz on a PYNQ-Z2, with the DRAM model on; beside it, predicted, what the nodes would
    take alone, on their units and on the array."""
    graph = block(*BLOCKS[case])
    rtl = devices("pynq-z2")
    memory = memory_of(rtl.config)
    program, counters = run(rtl, graph, 1)
    ideal = ideal_of(memory, *BLOCKS[case])
    cycles, predicted = counters["cycles"], program.metadata["predicted_cycles"]
    apart, array = (
        sum(
            scheduled(preset(name), problem_of(graph, node), memory).prediction.cycles
            for node in graph.nodes
        )
        for name in ("pynq-z2", "pynq-z2-array")
    )
    request.config.weft_rates.append(
        f"pynq-z2 {case}: {cycles:,} cycles, {fused(program) or 'none'} of {len(graph.nodes)} at "
        f"once, {cycles / ideal:.3f} of the ideal, predicted {predicted / cycles - 1:+.1%}; "
        f"apart {apart:,}, array only {array:,}; {counters['depthwise_conflicts']} conflicts"
    )
    assert cycles <= OVER_IDEAL * ideal
    assert abs(predicted / cycles - 1) <= MODEL_ERROR
    if fused(program) == len(graph.nodes):
        _, _, channels, stride, outputs = BLOCKS[case]
        stored = sum(
            i["rows"] * i["bytes"] for i in program.instructions if i.opcode is Opcode.STORE
        )
        # The result, and at most a third of the map: lines that change their place.
        pixels = (BLOCKS[case][0] // stride) ** 2
        assert pixels * outputs <= stored <= pixels * (outputs + stride**2 * channels / 3)


def test_without_the_engine():
    """Everything on the array; the counters of the unit that is absent are 0."""
    config = preset("tiny").replace(name="tiny-array", tap_words=0)
    with RtlBackend(config, timeout_cycles=5_000_000) as rtl:
        for seed in range(6):
            program, counters = run(rtl, separable(seed), seed)
            assert all(i.opcode is not Opcode.DEPTHWISE for i in program.instructions)
            assert counters["array_rows"] and not counters["depthwise_fires"]
