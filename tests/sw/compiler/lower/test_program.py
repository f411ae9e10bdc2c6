"""Compiled programs pass the verifier and give, on the emulator, what int64 arithmetic gives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gemm_reference import random_layer, random_operands, random_requant, reference
from weft.backend.emulator import EmulatorBackend
from weft.compiler.graph.build import Builder, linear_layer
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.reference import TorchInt
from weft.compiler.lower.program import compile_graph
from weft.errors import Unsupported, UsageError
from weft.verify import verify
from weft_hw.config import PRESETS, AcceleratorConfig, preset
from weft_hw.isa import SEMAPHORE_MAX, Opcode, ResultType

#: Ragged, degenerate and exact shapes; each is small enough for the smallest preset.
SHAPES = [
    (1, 1, 1),
    (1, 7, 5),
    (16, 16, 16),
    (37, 100, 77),
    (3, 500, 40),
    (65, 9, 130),
    (100, 70, 8),
    (2, 300, 300),
]
LARGE = [(129, 385, 33), (196, 512, 128), (1, 384, 1536), (300, 32, 64), (20, 40, 5000)]
KINDS = [
    (ResultType.INT8, False),
    (ResultType.INT8, True),
    (ResultType.INT16, False),
    (ResultType.INT32, False),
]


def run(config: AcceleratorConfig, graph: Graph, seed: int, runs: int = 1) -> None:
    """`runs` runs on the emulator equal int64 arithmetic, and leave the states that it leaves."""
    rng = np.random.default_rng(seed)
    program = compile_graph(graph, config)
    verify(program)
    states: dict[str, np.ndarray] = {}
    with EmulatorBackend(config) as backend:
        backend.load(program)
        for _ in range(runs):
            inputs = {
                name: rng.integers(-128, 128, graph.tensors[name].shape, dtype=np.int8)
                for name in graph.inputs
            }
            wanted, states = reference(graph, inputs, states)
            found = backend.run(inputs)
            assert set(found) == set(wanted)
            for name in wanted:
                np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
            for name, value in states.items():
                np.testing.assert_array_equal(backend.read_state(name), value, err_msg=name)


@pytest.mark.parametrize(("kind", "table"), KINDS)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_small_shapes(
    name: str, shape: tuple[int, int, int], kind: ResultType, table: bool
) -> None:
    problem = GemmProblem(*shape, kind, table)
    run(preset(name), random_layer(np.random.default_rng(sum(shape)), problem), sum(shape))


@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])
@pytest.mark.parametrize("shape", LARGE, ids=lambda s: "x".join(map(str, s)))
def test_large_shapes(name: str, shape: tuple[int, int, int]) -> None:
    graph = random_layer(np.random.default_rng(sum(shape)), GemmProblem(*shape))
    run(preset(name), graph, sum(shape))


def test_random_shapes() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    limits = {"tiny": 60, "tiny-wide": 90, "pynq-z2": 300, "kv260": 300}
    for _ in range(24):
        name = str(rng.choice(list(limits)))
        m, k, n = (int(np.exp(rng.uniform(0, np.log(limits[name])))) for _ in range(3))
        kind, table = KINDS[int(rng.integers(len(KINDS)))]
        print(name, m, k, n, kind, table)
        graph = random_layer(rng, GemmProblem(m, k, n, kind, table))
        run(preset(name), graph, int(rng.integers(2**31)))


def chain(rng: np.random.Generator, m: int, sizes: list[int], states: int = 0) -> Graph:
    """Layers one after the other; outputs of the last ones, and `states` random states.

    A state is written by a random layer of its width; a layer reads the newest tensor of its input
    size, a state, or any older one.
    """
    make = Builder()
    tensors = [(make.input("x", (m, sizes[0])), sizes[0])]
    for index in range(states):
        width = int(rng.choice(sizes[1:]))
        data = rng.integers(-128, 128, (m, width), dtype=np.int8) if index % 2 else None
        tensors.insert(0, (make.state(f"s{index}", (m, width), data=data), width))
    made: list[tuple[str, int]] = []
    for index, n in enumerate(sizes[1:]):
        x, k = tensors[-1] if rng.random() < 0.7 else tensors[int(rng.integers(len(tensors)))]
        table = bool(rng.random() < 0.3)
        weights, bias = random_operands(rng, k, n)
        requant = random_requant(rng, GemmProblem(m, k, n, table=table))
        made.append((make.linear(f"l{index}", x, weights, bias, requant), n))
        tensors.append(made[-1])
    k, last = tensors[-1][1], tensors[-1][0]
    weights, bias = random_operands(rng, k, 7)
    wide = make.linear("wide", last, weights, bias)
    for index in range(states):
        width = make._of(f"s{index}").shape[1]
        sources = [name for name, n in made if n == width]
        if sources:
            make.keep(f"s{index}", str(rng.choice(sources)))
        else:
            make.keep(f"s{index}", f"s{index}")
    return make.build(wide, *([made[0][0]] if rng.random() < 0.5 else []))


@pytest.mark.parametrize("name", PRESETS)
def test_three_layers_are_one_program(name: str) -> None:
    """Each with another result type and table; the outputs of two of them are kept."""
    rng = np.random.default_rng(3)
    make = Builder()
    x = make.input("x", (21, 40))
    y = make.linear("up", x, *random_operands(rng, 40, 70),
                    random_requant(rng, GemmProblem(21, 40, 70, table=True)))
    z = make.linear("down", y, *random_operands(rng, 70, 19),
                    random_requant(rng, GemmProblem(21, 70, 19)))
    out = make.linear("head", z, *random_operands(rng, 19, 33))
    run(preset(name), make.build(out, y), 3)


def test_random_chains_with_states() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    limits = {"tiny": 40, "tiny-wide": 60, "pynq-z2": 200, "kv260": 200}
    for _ in range(16):
        name = str(rng.choice(list(limits)))
        sizes = [int(np.exp(rng.uniform(0, np.log(limits[name])))) for _ in range(5)]
        m = int(np.exp(rng.uniform(0, np.log(limits[name]))))
        states = int(rng.integers(3))
        graph = chain(rng, m, sizes[: int(rng.integers(2, 6))], states)
        print(name, graph)
        run(preset(name), graph, int(rng.integers(2**31)), runs=3)


def test_a_state_that_feeds_itself_is_copied_at_the_end() -> None:
    """``h = f(h)`` reads rows of h after it has stored some: written in place it would be wrong."""
    rng = np.random.default_rng(5)
    config = preset("tiny")
    m, k = 70, 300  # more than the chip holds, so activations are loaded again
    make = Builder()
    h = make.state("h", (m, k), data=rng.integers(-128, 128, (m, k), dtype=np.int8))
    new = make.linear("turn", h, *random_operands(rng, k, k),
                      random_requant(rng, GemmProblem(m, k, k)))
    make.keep("h", new)
    x = make.input("x", (1, 4))
    out = make.linear("side", x, *random_operands(rng, 4, 4))
    run(config, make.build(out), 5, runs=3)


def layer(make: Builder, name: str, x: str, n: int, *, wide: bool = False) -> str:
    """A random layer on `x`, always the same for a name."""
    rng = np.random.default_rng(list(name.encode()))
    m, k = make._of(x).shape
    requant = None if wide else random_requant(rng, GemmProblem(m, k, n))
    return make.linear(name, x, *random_operands(rng, k, n), requant)


def delay_line() -> Graph:
    """Two states in a row, in the order in which copying one after the other would be wrong."""
    make = Builder()
    x = make.input("x", (5, 8))
    new, old = make.state("new", (5, 9)), make.state("old", (5, 9))
    make.keep("new", layer(make, "y", x, 9))
    make.keep("old", new)
    return make.build(layer(make, "z", old, 9))


def kept_input() -> Graph:
    make = Builder()
    x, h = make.input("x", (5, 8)), make.state("h", (5, 8))
    make.keep("h", x)
    return make.build(layer(make, "y", h, 9))


def two_states_of_one_value() -> Graph:
    """It is an output, too."""
    make = Builder()
    x, a, b = make.input("x", (5, 8)), make.state("a", (5, 9)), make.state("b", (5, 9))
    y = layer(make, "y", x, 9)
    make.keep("a", y)
    make.keep("b", y)
    return make.build(layer(make, "z", b, 9), layer(make, "w", a, 4), y)


def read_after_its_new_value() -> Graph:
    make = Builder()
    x, h = make.input("x", (1, 8)), make.state("h", (1, 9))
    make.keep("h", layer(make, "y", x, 9))
    return make.build(layer(make, "z", h, 9))


def dead_nodes() -> Graph:
    """Nothing reads `dead`, which is as large as what follows."""
    make = Builder()
    y = layer(make, "y", make.input("x", (5, 8)), 9)
    layer(make, "dead", y, 40)
    return make.build(layer(make, "o", layer(make, "w", layer(make, "z", y, 9), 40), 9))


def constant_activations() -> Graph:
    make = Builder()
    y = layer(make, "y", make.input("x", (5, 8)), 9)
    h = make.state("h", (8, 9))
    make.keep("h", "y.weights")
    return make.build(layer(make, "z", "y.weights", 4), y, layer(make, "w", h, 3))


def states_of_other_ranks() -> Graph:
    """One of them has big-endian first values."""
    make = Builder()
    y = layer(make, "y", make.input("x", (5, 8)), 9)
    first = np.arange(30, dtype=">i4").reshape(5, 2, 3) - 9
    for name, data in (("row", first[0, 0]), ("cube", first)):
        make.keep(name, make.state(name, data.shape, "int32", data))
    return make.build(y)


def no_input() -> Graph:
    make = Builder()
    h = make.state("h", (5, 9), data=np.arange(45, dtype=np.int8).reshape(5, 9))
    y = layer(make, "y", h, 9)
    make.keep("h", y)
    return make.build(y)


UNUSUAL = (
    delay_line, kept_input, two_states_of_one_value, read_after_its_new_value, dead_nodes,
    constant_activations, states_of_other_ranks, no_input,
)  # fmt: skip


@pytest.mark.parametrize("name", ["tiny", "pynq-z2"])
@pytest.mark.parametrize("graph", UNUSUAL, ids=lambda f: f.__name__)
def test_unusual_graphs(graph, name: str) -> None:
    run(preset(name), graph(), 3, runs=3)


@pytest.mark.parametrize("graph", UNUSUAL, ids=lambda f: f.__name__)
def test_unusual_graphs_on_torch_int(graph) -> None:
    pytest.importorskip("torch")
    made, states = graph(), {}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        given = {
            n: rng.integers(-128, 128, made.tensors[n].shape, dtype=np.int8) for n in made.inputs
        }
        wanted = reference(made, given, states)
        outputs, states = TorchInt().run(made, given, states)
        for found, want in zip((outputs, states), wanted):
            for key in want:
                np.testing.assert_array_equal(found[key], want[key])


def test_states_that_take_each_others_values_are_refused() -> None:
    make = Builder()
    out = layer(make, "y", make.input("x", (5, 8)), 9)
    a, b = make.state("a", (5, 9)), make.state("b", (5, 9))
    make.keep("a", b)
    make.keep("b", a)
    with pytest.raises(Unsupported, match="the states a, b take each other's values; let a node"):
        compile_graph(make.build(out), preset("tiny"))


@pytest.mark.parametrize(
    "sizes",
    [
        # The loads of the last layer overwrite results that are still being stored: of the layer
        # before, though their input was stored long ago ...
        {"a": (4, 25, 104), "b": (150, 1, 107), "c": ("b", 0, 6)},
        # ... and of one before that, of which only a part was overwritten since.
        {"a": (86, 23, 85), "b": (150, 2, 40), "c": (86, 23, 55), "d": ("c", 0, 67)},
    ],
)
@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
def test_loads_wait_for_all_that_they_overwrite(name: str, sizes) -> None:
    make, made = Builder(), {}
    for index, (node, (rows, width, n)) in enumerate(sizes.items()):
        x = made[rows] if isinstance(rows, str) else make.input(f"x{index}", (rows, width))
        made[node] = layer(make, node, x, n)
    verify(compile_graph(make.build(*made.values()), preset(name)))


@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
def test_random_graphs_are_ordered(name: str) -> None:
    """Layers that read any older tensor, of sizes around those of the memories."""
    # Seeds for which loads once overwrote what was still being stored, and a few new ones.
    for seed in (42, 91, 119, *np.random.SeedSequence().generate_state(9).tolist()):
        print(f"seed {seed}")
        rng = np.random.default_rng(seed)

        def size(most: int, rng: np.random.Generator = rng) -> int:
            return int(np.exp(rng.uniform(0, np.log(most))))

        make = Builder()
        tensors = [make.input(f"x{i}", (size(150), size(300))) for i in range(2)]
        for index in range(4):
            x = tensors[int(rng.integers(len(tensors)))]
            tensors.append(layer(make, f"l{index}", x, size(250)))
        verify(compile_graph(make.build(*tensors[2:]), preset(name)))


def test_no_semaphore_overflows_between_long_layers() -> None:
    """The first layer stores more often than a semaphore counts before the second one loads."""
    make = Builder()
    y = layer(make, "up", make.input("x", (70_000, 16)), 16)
    program = compile_graph(make.build(layer(make, "down", y, 16)), preset("pynq-z2"))
    assert sum(i.opcode is Opcode.STORE for i in program.instructions) > 2 * SEMAPHORE_MAX
    verify(program)


def test_torch_int_runs_the_same_graph() -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    torch_int = TorchInt()
    for _ in range(12):
        graph = chain(rng, 9, [17, 23, 17, 5], states=2)
        states: dict[str, np.ndarray] = {}
        for _ in range(3):
            inputs = {"x": rng.integers(-128, 128, (9, 17), dtype=np.int8)}
            wanted, after = reference(graph, inputs, states)
            found, states = torch_int.run(graph, inputs, states)
            for name in wanted:
                np.testing.assert_array_equal(found[name], wanted[name])
            for name in after:
                np.testing.assert_array_equal(states[name], after[name])


def test_metadata_says_what_was_chosen() -> None:
    graph = random_layer(np.random.default_rng(0), GemmProblem(100, 200, 48))
    program = compile_graph(graph, preset("pynq-z2"))
    meta = program.metadata
    (node,) = meta["nodes"]
    assert (node["m"], node["k"], node["n"]) == (100, 200, 48)
    assert meta["macs"] == 100 * 200 * 48
    assert meta["bytes_read"] == 100 * 200 + 200 * 48
    assert meta["bytes_written"] == 100 * 48
    assert 0 < meta["roofline_cycles"] < meta["predicted_cycles"]
    assert node["schedule"]["block_rows"] >= 1
    assert json.dumps(dict(meta))
    assert program.inputs["a"].pitches == (208,)
    assert program.outputs["out"].pitches == (48,)


def test_places_of_what_is_needed_no_more_are_used_again() -> None:
    """Ten layers of one width: the tensors between them take the place of two."""
    rng = np.random.default_rng(0)
    make = Builder()
    x = make.input("x", (64, 64))
    for index in range(10):
        x = make.linear(f"l{index}", x, *random_operands(rng, 64, 64),
                        random_requant(rng, GemmProblem(64, 64, 64)))
    graph = make.build(x)
    program = compile_graph(graph, preset("pynq-z2"))
    constants = max(offset + len(data) for offset, data in program.constants)
    assert program.program_offset - constants < 5 * 4096 + 4096
    run(preset("pynq-z2"), graph, 1)


def test_a_size_that_is_not_bound_is_refused() -> None:
    graph = linear_layer("l", *random_operands(np.random.default_rng(0), 8, 8))
    with pytest.raises(UsageError, match=r"size 'M' of a: int8\[M, 8\] is not known; bind it"):
        compile_graph(graph, preset("tiny"))
    compile_graph(graph.bind(M=3), preset("tiny"))
