"""Depthwise convolutions on their engine: ways over a map, tilings, and what the emulator makes."""

from __future__ import annotations

import numpy as np
import pytest

from on_emulator import check
from random_maps import MapMaker
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.window import Window
from weft.compiler.graph.windowed import WindowProblem
from weft.compiler.lower.choose import scheduled
from weft.compiler.lower.constants import pack_taps
from weft.compiler.lower.nodes import problem_of
from weft.compiler.lower.program import compile_graph
from weft.compiler.schedule import depthwise, known, search
from weft.compiler.schedule.place import place_layers
from weft.compiler.schedule.plan import Layer, layout_of
from weft.compiler.schedule.search import taps_of
from weft.compiler.schedule.tiling import DepthwiseTiling
from weft.compiler.schedule.walk import walk_of
from weft.dram import memory_of
from weft_hw.config import preset
from weft_hw.isa import TAP_DELAY_MAX, TAP_PARAMETERS, TAPS, Opcode

pytest.importorskip("torch")

PRESETS = ("tiny", "tiny-wide", "pynq-z2", "kv260")
#: Windows that the engine does, and the reads of one result.
WINDOWS = {
    "3x3": (Window((3, 3), padding=(1, 1, 1, 1), value=7), 3),
    "3x3 without a border": (Window((3, 3)), 3),
    "3x3 stride 2": (Window((3, 3), (2, 2), padding=(1, 1, 1, 1), value=-9), 6),
    "3x3 stride 2, no border": (Window((3, 3), (2, 2)), 6),
    "3x3 stride 2 down": (Window((3, 3), (2, 1), padding=(1, 1, 1, 1)), 3),
    "3x3 stride 2 across": (Window((3, 3), (1, 2), padding=(1, 1, 1, 1)), 3),
    "3x3 dilated": (Window((3, 3), (1, 1), (2, 2), padding=(2, 2, 2, 2)), 3),
    "3x3 dilated 1 and 3": (Window((3, 3), (1, 1), (1, 3), padding=(1, 1, 3, 3)), 3),
    "5x5": (Window((5, 5), padding=(2, 2, 2, 2), value=3), 10),
    "5x5 stride 2": (Window((5, 5), (2, 2), padding=(2, 2, 2, 2)), 20),
    "7x7": (Window((7, 7), padding=(3, 3, 3, 3)), 21),
    "1x3": (Window((1, 3), padding=(0, 0, 1, 1)), 1),
    "3x1": (Window((3, 1), padding=(1, 1, 0, 0)), 1),
    "3x1 stride 2": (Window((3, 1), (2, 2), padding=(1, 1, 0, 0)), 2),
    "1x5": (Window((1, 5), padding=(0, 0, 2, 2)), 2),
    "4x1": (Window((4, 1)), 2),
    "3x2": (Window((3, 2)), 2),
}


def one(window: Window, shape: tuple[int, int, int] = (11, 13, 40), seed: int = 5) -> Graph:
    maker = MapMaker(seed)
    return maker.build(maker.depthwise(maker.input(shape), window))


def opcodes(program) -> set[Opcode]:
    return {instruction.opcode for instruction in program.instructions}


@pytest.fixture
def engine_only(monkeypatch):
    """Every schedule is the engine's, also where the array is as fast; none is kept."""
    monkeypatch.setattr(search, "_candidates", depthwise.candidates)
    monkeypatch.setattr(known, "find", lambda *_: None)
    monkeypatch.setattr(known, "keep", lambda *_: None)
    scheduled.cache_clear()
    yield
    scheduled.cache_clear()


@pytest.mark.usefixtures("engine_only")
@pytest.mark.parametrize("case", WINDOWS)
@pytest.mark.parametrize("name", PRESETS)
def test_windows(name, case):
    window, reads = WINDOWS[case]
    # Pixels of whole lines of the scratchpad.
    graph = one(window, (11, 13, 40 if preset(name).rows <= 16 else 64))
    problem = problem_of(graph, graph.nodes[0])
    walk = walk_of(preset(name), problem)
    assert walk is not None and walk.cycles == reads
    assert max(walk.delays) <= TAP_DELAY_MAX
    program = compile_graph(graph, preset(name))
    assert Opcode.DEPTHWISE in opcodes(program) and Opcode.MATMUL not in opcodes(program)
    check(program, graph)


@pytest.mark.parametrize("case", WINDOWS)
def test_every_column_of_a_kernel_has_one_tap(case):
    window, _ = WINDOWS[case]
    graph = one(window)
    walk = walk_of(preset("pynq-z2"), problem_of(graph, graph.nodes[0]))
    columns = sorted(column for taps in walk.columns for column in taps if column >= 0)
    assert columns == list(range(window.kernel[1 if walk.across else 0]))


@pytest.mark.parametrize(
    "window",
    [
        Window((2, 2)),  # fewer columns than taps
        Window((1, 1)),
        Window((3, 3), (3, 3)),  # a stride of more than two
        Window((3, 3), (2, 2), (2, 2)),  # a dilated one of two
        Window((4, 4), (2, 2)),
        Window((3, 3), (1, 1), (9, 9)),  # lines that are no longer kept
    ],
    ids=str,
)
def test_what_the_engine_cannot_do_is_done_by_the_array(window):
    graph = one(window, (21, 22, 24))
    config = preset("pynq-z2")
    problem = problem_of(graph, graph.nodes[0])
    assert walk_of(config, problem) is None
    assert not list(depthwise.candidates(config, problem))
    program = compile_graph(graph, config)
    assert Opcode.DEPTHWISE not in opcodes(program)
    check(program, graph)


def test_a_preset_without_the_engine_uses_the_array():
    graph = one(WINDOWS["3x3"][0])
    program = compile_graph(graph, preset("pynq-z2-array"))
    assert Opcode.DEPTHWISE not in opcodes(program)
    check(program, graph)
    with_engine = compile_graph(graph, preset("pynq-z2"))
    cycles = [p.metadata["predicted_cycles"] for p in (program, with_engine)]
    assert cycles[1] < cycles[0]


@pytest.mark.usefixtures("engine_only")
@pytest.mark.parametrize("name", ["tiny", "pynq-z2"])
def test_every_tiling(name):
    """Blocks and groups of any size give the same; among them taps that do not fit at once."""
    config = preset(name)
    channels = {"tiny": 104, "pynq-z2": 1456}[name]
    graph = one(WINDOWS["3x3"][0], (5, 6, channels))
    problem = problem_of(graph, graph.nodes[0])
    assert isinstance(problem, WindowProblem)
    walk = walk_of(config, problem)
    tilings = list(depthwise.candidates(config, problem))
    assert len(tilings) > 8
    words = depthwise.groups_of(config, problem) * walk.block_words(config)
    assert words > config.tap_words
    for tiling in tilings:
        layout, _ = layout_of(config, problem, taps_of(config, problem, tiling))
        plan = place_layers(config, [Layer(problem, tiling, layout)])
        results = sum(
            (s.counts[2] - s.skip) * s.counts[3] * s.counts[4] for s in plan.steps
        )
        assert results == problem.pixels * depthwise.groups_of(config, problem), tiling
    check(compile_graph(graph, config), graph)


def test_taps_in_memory():
    """A naive packing of taps and parameters."""
    config = preset("tiny")
    graph = one(WINDOWS["5x5"][0], (7, 8, 20))
    walk = walk_of(config, problem_of(graph, graph.nodes[0]))
    rng = np.random.default_rng(1)
    weights = rng.integers(-128, 128, (5, 5, 20)).astype(np.int8)
    entries = rng.integers(0, 1 << 63, 24).astype(np.uint64)
    found = pack_taps(config, weights, entries, walk)
    words = walk.block_words(config)
    assert found.shape == (TAPS, 3 * words, 8)
    for channel in range(24):
        group, lane = divmod(channel, 8)
        raw = found[:, group * words : group * words + TAP_PARAMETERS]
        raw = raw.transpose(1, 0, 2).reshape(-1)[8 * lane : 8 * lane + 8]
        assert int(raw.copy().view("<u8")[0]) == int(entries[channel])
        at = group * words + TAP_PARAMETERS
        for row in range(5):
            for columns in walk.columns:
                for tap, column in enumerate(columns):
                    is_weight = column >= 0 and channel < 20
                    want = weights[row, column, channel] if is_weight else 0
                    assert found[tap, at, lane] == want
                at += 1


def test_the_choice_is_by_predicted_cycles():
    """The largest layers of MobileNetV1 run several times as fast on the engine."""
    config = preset("pynq-z2")
    same = (1, 1, 1, 1)
    for size, channels in ((112, 32), (14, 512)):
        problem = WindowProblem(
            "depthwise", size, size, channels, channels, Window((3, 3), padding=same),
            channels, channels,
        )  # fmt: skip
        found = scheduled(config, problem, memory_of(config))
        array = scheduled(preset("pynq-z2-array"), problem, memory_of(config))
        assert isinstance(found.plan.layers[0].tiling, DepthwiseTiling)
        assert 2 * found.prediction.cycles < array.prediction.cycles
