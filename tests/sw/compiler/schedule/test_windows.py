"""Windows over maps on the emulator: torch-int, for random nodes and networks on every preset."""

from __future__ import annotations

import numpy as np
import pytest

from random_maps import MapMaker, network, values_of
from weft.backend.emulator import EmulatorBackend
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.window import Window
from weft.compiler.graph.windowed import WindowProblem
from weft.compiler.lower.nodes import pitches_of, problem_of
from weft.compiler.lower.program import compile_graph
from weft.compiler.schedule.nest import Loop, Nest
from weft.compiler.schedule.search import schedule_node
from weft.compiler.schedule.tiling import Tiling
from weft.compiler.schedule.windows import MapLines
from weft.errors import Unsupported
from weft.verify import verify
from weft_hw.config import preset

pytest.importorskip("torch")

from weft.compiler.graph.reference import TorchInt  # noqa: E402

PRESETS = ("tiny", "tiny-wide", "pynq-z2", "kv260")


def check(graph: Graph, name: str, seed: int = 0) -> None:
    """Compile, verify, run; every output is that of torch-int."""
    config = preset(name)
    program = compile_graph(graph, config)
    verify(program)
    given = values_of(graph, seed)
    with EmulatorBackend(config) as emulator:
        emulator.load(program)
        got = emulator.run(given)
    want, _ = TorchInt().run(graph, given)
    for output, array in want.items():
        np.testing.assert_array_equal(got[output], array, err_msg=f"{output} of\n{graph}")


@pytest.mark.parametrize("nodes", [1, 5])
@pytest.mark.parametrize("name", PRESETS)
def test_random_networks(name, nodes):
    done = 0
    for seed in range(1000 * nodes, 1000 * nodes + 60):
        try:
            check(network(seed, nodes=nodes), name, seed)
        except Unsupported as error:
            assert name == "tiny-wide" and "the array compares 8 at once" in str(error)
        else:
            done += 1
    assert done > 10


SAME = (1, 1, 1, 1)
CASES = {
    "in many blocks": lambda m: m.conv2d(m.input((60, 30, 16)), 24, Window((3, 3), padding=SAME)),
    "one wide line": lambda m: m.conv2d(m.input((3, 60, 3)), 8, Window((3, 3), (2, 2))),
    "more weights than fit": lambda m: m.conv2d(m.input((6, 6, 96)), 80, Window((5, 5))),
    "a line of more": lambda m: m.conv2d(m.input((3, 9, 160)), 16, Window((1, 9))),
    "runs of more": lambda m: m.conv2d(m.input((3, 9, 64)), 16, Window((2, 3), (1, 1), (1, 3))),
    "the whole map": lambda m: m.conv2d(m.input((4, 5, 16)), 20, Window((4, 5))),
    "more parameters than fit": lambda m: m.conv2d(m.input((4, 4, 8)), 300, Window((2, 2))),
    "depthwise": lambda m: m.depthwise(m.input((10, 12, 42)), Window((5, 5), (2, 2), padding=SAME)),
    "a global average": lambda m: m.pool("avg_pool", m.input((7, 6, 100)), Window((7, 6))),
    "borders beyond the kernel": lambda m: m.conv2d(
        m.input((5, 6, 16)), 8, Window((3, 3), padding=(5, 4, 3, 6), value=9)),
    "a wide border of a pool": lambda m: m.depthwise(
        m.input((4, 4, 16)), Window((2, 2), (1, 1), padding=(3, 0, 0, 7), value=-3)),
    "one pixel": lambda m: m.conv2d(m.input((1, 1, 5)), 3, Window((1, 1))),
    "stride beyond the kernel": lambda m: m.conv2d(m.input((9, 12, 20)), 9, Window((1, 1), (3, 4))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PRESETS)
def test_shapes(name, case):
    maker = MapMaker(7)
    check(maker.build(CASES[case](maker)), name)


def test_products_are_scheduled_as_products():
    maker = MapMaker(3)
    x = maker.input((6, 5, 32))
    flat = maker.conv2d(x, 16, Window((1, 1)))
    whole = maker.conv2d(flat, 9, Window((6, 5)))
    graph = maker.build(whole)
    tilings = [
        schedule_node(preset("pynq-z2"), problem_of(graph, node)).plan.layers[0].tiling
        for node in graph.nodes
    ]
    assert all(isinstance(tiling, Tiling) for tiling in tilings)


def test_three_channels_are_four_bytes():
    """A kernel line of 7 pixels of 3 channels is 27 bytes: two tiles of 16."""
    maker = MapMaker(3)
    graph = maker.build(maker.conv2d(maker.input((9, 16, 3)), 8, Window((7, 7))))
    assert pitches_of(graph, "x0") == (64, 4)
    problem = problem_of(graph, graph.nodes[0])
    assert isinstance(problem, WindowProblem)
    assert problem.tiles(preset("pynq-z2")) == (14, 1)


def test_lines_share_their_borders():
    problem = WindowProblem("conv2d", 6, 5, 16, 8, Window((3, 3), padding=(1, 1, 1, 2)), 16, 16)
    lines = MapLines(problem, 0, 2)
    assert (lines.first, lines.end, lines.inside) == (-1, 3, (0, 3))
    assert (lines.lead, lines.line, lines.border, lines.pitch) == (16, 80, 32, 112)
    assert lines.at(0) == 16 + 112 and lines.bytes == 16 + 4 * 112


def test_a_border_behind_part_of_a_granule_is_refused():
    maker = MapMaker(3)
    graph = maker.build(
        maker.conv2d(maker.input((5, 5, 1)), 4, Window((3, 3), padding=(1,) * 4))
    )
    with pytest.raises(Unsupported, match="give the map its border as data"):
        compile_graph(graph, preset("pynq-z2"))


def test_too_wide_a_line_is_refused():
    maker = MapMaker(3)
    graph = maker.build(maker.conv2d(maker.input((3, 80, 16)), 4, Window((3, 3))))
    with pytest.raises(Unsupported, match="78 results needs as many accumulator rows"):
        compile_graph(graph, preset("tiny"))


def test_nests_merge_what_goes_on():
    """Loops of one iteration vanish, one that goes on where the last ends joins it."""
    nest = Nest.of([Loop(4, 2, acc=1), Loop(3, 8, acc=4), Loop(1, 99)], [Loop(2, 5, reduces=True)])
    assert nest.loops == (Loop(12, 2, acc=1), Loop(2, 5, reduces=True)) and nest.tile_levels == 1
    assert (nest.rows, nest.tiles, nest.sums) == (12, 2, 1)
    assert Nest.of([], []).loops == (Loop(1),)
    with pytest.raises(ValueError, match="6 loops at most, not 7"):
        Nest.of([Loop(2, 1)], [Loop(2, 7**i) for i in range(6)])
