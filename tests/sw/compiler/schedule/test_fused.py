"""Neighbours that run at once: depthwise and pointwise, with or without the product in front."""

from __future__ import annotations

import pytest

from on_emulator import check
from random_maps import MapMaker, chain, separable
from weft.compiler.graph.fused import Fused
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.window import Window
from weft.compiler.graph.windowed import WindowProblem
from weft.compiler.lower.program import compile_graph
from weft.compiler.schedule import fused
from weft.compiler.schedule.place import place_layers
from weft.compiler.schedule.place_expand import bytes_moved
from weft.compiler.schedule.plan import Layer, Slide, Step, layout_of
from weft.compiler.schedule.search import taps_of
from weft.errors import Unsupported
from weft_hw.config import preset
from weft_hw.isa import Opcode

pytest.importorskip("torch")

PRESETS = ("tiny", "tiny-wide", "pynq-z2", "kv260")
SAME = Window((3, 3), padding=(1, 1, 1, 1))


def pairs_of(graph: Graph, name: str = "pynq-z2"):
    """(program, names of the nodes that are fused)"""
    program = compile_graph(graph, preset(name))
    nodes = program.metadata["nodes"]
    return program, [n["name"] for n in nodes if "middle_banks" in n["schedule"]]


@pytest.mark.parametrize("name", PRESETS)
def test_random_pairs(name):
    fused = 0
    for seed in range(40):
        graph = separable(seed)
        try:
            program, names = pairs_of(graph, name)
        except Unsupported:
            continue
        check(program, graph, seed)
        fused += bool(names)
    assert fused >= 6, fused


@pytest.mark.parametrize("name", PRESETS)
def test_random_blocks_whose_map_is_made_on_chip(name):
    """All three at once, wherever that is possible."""
    fused = refused = 0
    for seed in range(30):
        graph = separable(1000 + seed, expand=1.0)
        try:
            program, names = pairs_of(graph, name)
        except Unsupported:
            refused += 1
            continue
        check(program, graph, seed)
        fused += len(names) == 3
    assert fused >= 6, (fused, refused)


def test_what_a_pair_hands_on_has_no_place_in_the_arena():
    maker = MapMaker(1)
    between = maker.depthwise(maker.input((28, 28, 128)), Window((3, 3), padding=(1, 1, 1, 1)))
    graph = maker.build(maker.conv2d(between, 16, Window()))
    program, names = pairs_of(graph)
    assert len(names) == 2
    stored = sum(i["rows"] * i["bytes"] for i in program.instructions if i.opcode is Opcode.STORE)
    assert stored == 28 * 28 * 16 == program.metadata["bytes_written"]
    assert program.metadata["roofline_cycles"] < program.metadata["predicted_cycles"]
    assert program.metadata["bytes_read"] == 28 * 28 * 128 + 9 * 128 + 128 * 16
    check(program, graph)


def read_twice(maker: MapMaker) -> Graph:
    x = maker.depthwise(maker.input((14, 14, 32)), Window((3, 3), padding=(1, 1, 1, 1)))
    a = maker.conv2d(x, 32, Window())
    return maker.build(a, maker.conv2d(x, 16, Window()))


def added_behind(maker: MapMaker) -> Graph:
    x = maker.depthwise(maker.input((14, 14, 32)), Window((3, 3), padding=(1, 1, 1, 1)))
    return maker.build(maker.conv2d(x, 32, Window(), residual=x))


def an_output(maker: MapMaker) -> Graph:
    x = maker.depthwise(maker.input((14, 14, 32)), Window((3, 3), padding=(1, 1, 1, 1)))
    return maker.build(x, maker.conv2d(x, 32, Window()))


@pytest.mark.parametrize("make", [read_twice, added_behind, an_output])
def test_what_others_read_is_not_kept_on_chip(make):
    graph = make(MapMaker(2))
    program, names = pairs_of(graph)
    assert not names
    check(program, graph)


@pytest.mark.parametrize("name", PRESETS)
def test_random_chains(name):
    """Blocks behind each other: what one needs of the chip, another one still uses."""
    done = {2: 0, 3: 0}
    for seed in range(12):
        graph = chain(seed)
        try:
            program, _ = pairs_of(graph, name)
        except Unsupported:
            continue
        check(program, graph, seed)
        schedules = [node["schedule"] for node in program.metadata["nodes"]]
        at_once = [bool(s["held_lines"]) for s in schedules if "middle_banks" in s]
        done[3] += sum(at_once)
        done[2] += len(at_once) - sum(at_once)
    assert min(done.values()) >= 6, done


def inverted(size: int, thin: int, wide: int, stride: int = 1) -> Fused:
    """The block of MobileNetV2."""
    same = Window((3, 3), (stride, stride), padding=(1, 1, 1, 1))
    window = WindowProblem("depthwise", size, size, wide, wide, same, wide, wide)
    return Fused(window, GemmProblem(window.pixels, wide, thin), GemmProblem(size**2, thin, wide))


@pytest.mark.parametrize("stride", [1, 2])
def test_every_tiling_of_an_inverted_residual(stride):
    """Each line of the wide map is made once; but those that a second block shares with the first,
    where it has no place for them: there is no step yet that a store could wait for."""
    config = preset("pynq-z2")
    problem = inverted(32, 24, 144, stride)
    seen, once = {True: 0, False: 0}, 0
    for tiling in fused.candidates(config, problem):
        layers = [
            Layer(part, tiling, layout_of(config, part, taps_of(config, part, tiling))[0])
            for part in problem.parts
        ]
        plan = place_layers(config, layers)
        made = [s for s in plan.steps if isinstance(s, Step) and s.layer == 0]
        rows = sum(s.nest.rows * s.nest.sums for s in made)
        slides = [s for s in plan.steps if isinstance(s, Slide)]
        assert sum((s.counts[2] - s.skip) * s.counts[3] * s.counts[4] for s in slides) == (
            problem.window.pixels * 9
        )
        moved = bytes_moved(problem.window, tiling)
        saved = [store for store in plan.stores if store.layer == 0]
        assert bool(saved) <= bool(moved)
        more, rest = divmod(rows - 32 * 32 * 9, 32 * 9)
        assert rest == 0 and 0 <= more <= (2 // stride if moved else 0), tiling
        once += more == 0 and bool(saved)
        seen[tiling.k_outermost] += 1
    assert min(seen.values()) > 2 and once > 2, (seen, once)


def test_nothing_of_the_wide_map_is_stored_but_lines_that_move():
    maker = MapMaker(4)
    start = maker.input((14, 14, 48))
    wide = maker.depthwise(maker.conv2d(start, 288, Window()), SAME)
    graph = maker.build(maker.conv2d(wide, 48, Window(), residual=start))
    program, names = pairs_of(graph)
    assert len(names) == 3
    stores = [i for i in program.instructions if i.opcode is Opcode.STORE]
    assert sum(i["rows"] * i["bytes"] for i in stores) == 14 * 14 * 48
    assert program.metadata["bytes_read"] == 2 * 14 * 14 * 48 + 288 * (48 + 9 + 48)
    check(program, graph)


def test_an_expansion_that_others_read_is_not_kept_on_chip():
    maker = MapMaker(5)
    wide = maker.conv2d(maker.input((14, 14, 16)), 96, Window())
    graph = maker.build(maker.conv2d(maker.depthwise(wide, SAME), 16, Window()), wide)
    program, names = pairs_of(graph)
    assert len(names) == 2
    check(program, graph)
