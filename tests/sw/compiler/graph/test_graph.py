"""A graph says what it is, and refuses what breaks a rule, by the name of the node."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from weft.compiler.graph.build import Builder, linear_layer
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.tensor import Tensor
from weft.errors import UsageError


def requant(n: int, **fields: object) -> Requant:
    return Requant(np.full(n, 3), np.full(n, 5), **fields)


def chain() -> Graph:
    make = Builder()
    x = make.input("x", ("M", 4))
    h = make.state("h", ("M", 3))
    y = make.linear("up", x, np.ones((4, 3), np.int8), np.zeros(3, np.int32), requant(3))
    z = make.linear("down", h, np.ones((3, 2), np.int8), np.zeros(2, np.int32))
    make.keep("h", y)
    return make.build(z)


def test_prints_what_it_computes() -> None:
    assert str(chain()) == (
        "graph (x: int8[M, 4]) -> down\n"
        "  state h: int8[M, 3] <- up\n"
        "  up = linear(x, up.weights, up.bias) >> 0 * m >> s + 0, -128..127: int8[M, 3]\n"
        "  down = linear(h, down.weights, down.bias): int32[M, 2]"
    )


def test_views() -> None:
    graph = chain()
    assert graph.producers == {"up": 0, "down": 1}
    assert graph.consumers["h"] == (1,) and graph.consumers["down"] == ()
    bound = graph.bind(M=7)
    assert bound.tensors["down"].shape == (7, 2) and graph.tensors["down"].shape == ("M", 2)
    assert bound.tensors["up.weights"] is graph.tensors["up.weights"]
    bound.verify()


def test_is_frozen() -> None:
    graph = chain()
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.nodes = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        graph.tensors["x"] = Tensor("x", "int8", (1,))  # type: ignore[index]
    with pytest.raises(TypeError):
        graph.states["x"] = "y"  # type: ignore[index]


W, B = np.ones((4, 2), np.int8), np.zeros(2, np.int32)


@pytest.mark.parametrize(
    ("weights", "bias", "by", "result", "sentence"),
    [
        (np.full((4, 2), -128, np.int8), B, None, "", r"weights must be in -127..127, not -128"),
        (np.ones(4, np.int8), B, None, "", r"weights must be \[K, N\], not \[4\]"),
        (np.ones((4, 2), np.int16), B, None, "", "weights must be int8, not int16"),
        (W, np.zeros(3, np.int32), None, "", r"bias must be int32 \[2\], not int32 \[3\]"),
        (W, np.zeros(2, np.int16), None, "", r"bias must be int32 \[2\], not int16 \[2\]"),
        (W, B, requant(3), "int8", "2 channels need as many multipliers, not 3"),
        (W, B, requant(2), "int32", "only int8 and int16 results are requantised, not int32"),
        (W, B, requant(2, low=-129), "int8", "low must be in -128..127 for int8 results, not -129"),
        (W, B, requant(2, low=3, high=1), "int8", "low must not exceed high, not 3 and 1"),
        (W, B, requant(2, table=np.zeros(256, np.int8)), "int16", "a table needs int8 results"),
    ],
)
def test_bad_layers(weights, bias, by, result, sentence) -> None:
    with pytest.raises(UsageError, match=f"node 'layer': {sentence}"):
        linear_layer("layer", weights, bias, by, result)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"multiplier": np.array([0, 1 << 17])}, r"multiplier must be .* not 131072 at \[1\]"),
        ({"shift": np.array([0, 1])}, r"shift must be in 1..42, not 0 at \[0\]"),
        ({"shift": np.array([1])}, r"shift must be \[2\], not \[1\]"),
        ({"multiplier": np.ones(2)}, "multiplier must be integers, not float64"),
        ({"pre": 8}, "pre must be an int in 0..7, not 8"),
        ({"zero_point": 1.5}, "zero_point must be an int in .* not 1.5"),
        ({"table": np.zeros(255, np.int8)}, r"table must be \[256\], not \[255\]"),
        ({"table": np.full(256, 200)}, r"table must be in -128..127, not 200 at \[0\]"),
    ],
)
def test_bad_requantisations(fields, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        Requant(**{"multiplier": np.ones(2, int), "shift": np.ones(2, int), **fields})


def broken(**changes: object) -> Graph:
    return dataclasses.replace(chain(), **changes)


def test_bad_graphs() -> None:
    graph = chain()
    tensors = dict(graph.tensors)
    up, down = graph.nodes
    cases = [
        (broken(outputs=("q",)), "there is no tensor 'q'"),
        (broken(inputs=("h",)), "input 'h' is a constant, or a state"),
        (broken(nodes=(up, up)), "two nodes are named 'up'"),
        (broken(nodes=(dataclasses.replace(up, op="sort"), down)),
         "node 'up': there is no operation 'sort', only linear"),
        (broken(nodes=(dataclasses.replace(up, inputs=("down", *up.inputs[1:])), down)),
         "node 'up' reads 'down' before it is computed"),
        (broken(nodes=(up, dataclasses.replace(down, output="up"))),
         "node 'down' writes 'up' again"),
        (broken(nodes=(up,)), "output 'down' is not computed"),
        (broken(nodes=(dataclasses.replace(up, inputs=("x",)), down)),
         "node 'up': needs activations, weights, bias, not 1 operands"),
        (broken(nodes=(dataclasses.replace(up, inputs=("x", "x", "up.bias")), down)),
         "node 'up': weights and bias must be constants"),
        (broken(states={"h": "down"}),
         r"state h: int8\[M, 3\] cannot take the value of down: int32\[M, 2\]"),
        (broken(tensors={**tensors, "x": Tensor("x", "int8", ("M", 5))}),
         r"node 'up': weights must be \[5, N\] for x: int8\[M, 5\], not \[4, 3\]"),
        (broken(tensors={**tensors, "up": Tensor("up", "int8", ("M", 9))}),
         r"node 'up': the output must be \['M', 3\], not \['M', 9\]"),
        (broken(tensors={**tensors, "x": Tensor("x", "int4", ("M", 4))}),
         "tensor 'x' must be int8, int16, int32, not 'int4'"),
        (broken(tensors={**tensors, "x": Tensor("x", "int8", (0, 4))}),
         r"tensor 'x' needs positive or named sizes, not \[0, 4\]"),
        (broken(tensors={**tensors, "up.bias": Tensor("up.bias", "int32", (3,), np.zeros(4))}),
         r"tensor 'up.bias' is int32 \[3\], its data are float64 \[4\]"),
    ]
    for bad, sentence in cases:
        with pytest.raises(UsageError, match=sentence):
            bad.verify()
    with pytest.raises(UsageError, match="two tensors are named 'x'"):
        Graph([Tensor("x", "int8", (1,)), Tensor("x", "int8", (1,))], (), (), ())
