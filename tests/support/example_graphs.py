"""Graphs that every backend has to run: a product, layers of a model, chains, states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from gemm_reference import random_layer, random_operands, random_requant, reference
from weft.backend.base import Backend
from weft.compiler.graph.build import Builder
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.lower.program import compile_graph
from weft.verify import verify
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType


def product() -> Graph:
    problem = GemmProblem(19, 45, 27, ResultType.INT16)
    return random_layer(np.random.default_rng(1), problem)


def layer_of_a_model() -> Graph:
    torch = pytest.importorskip("torch")
    from weft.compiler.quantise.model import quantise

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(24, 20), torch.nn.ReLU(), torch.nn.Linear(20, 9))
    return quantise(model, [torch.randn(40, 24)]).layers["2"].graph.bind(M=13)


def chain() -> Graph:
    """Three layers with another width, table and result type each."""
    rng = np.random.default_rng(2)
    make = Builder()
    x = make.input("x", (21, 40))
    y = make.linear("up", x, *random_operands(rng, 40, 70),
                    random_requant(rng, GemmProblem(21, 40, 70, table=True)))
    z = make.linear("down", y, *random_operands(rng, 70, 19),
                    random_requant(rng, GemmProblem(21, 70, 19)))
    return make.build(make.linear("head", z, *random_operands(rng, 19, 33)), y)


def delay() -> Graph:
    """``out = f(h); h = g(x)``: what a run answers depends on the input of the run before."""
    rng = np.random.default_rng(3)
    make = Builder()
    h = make.state("h", (9, 20), data=rng.integers(-128, 128, (9, 20), dtype=np.int8))
    x = make.input("x", (9, 24))
    out = make.linear("read", h, *random_operands(rng, 20, 17))
    new = make.linear("write", x, *random_operands(rng, 24, 20),
                      random_requant(rng, GemmProblem(9, 24, 20)))
    make.keep("h", new)
    return make.build(out)


def recurrent() -> Graph:
    """``h = f(h)``: written over itself only once all of it has been read."""
    rng = np.random.default_rng(4)
    make = Builder()
    h = make.state("h", (30, 70), data=rng.integers(-128, 128, (30, 70), dtype=np.int8))
    x = make.input("x", (2, 8))
    new = make.linear("turn", h, *random_operands(rng, 70, 70),
                      random_requant(rng, GemmProblem(30, 70, 70)))
    make.keep("h", new)
    return make.build(make.linear("side", x, *random_operands(rng, 8, 3)))


def delay_line() -> Graph:
    """``old = new; new = x``: states take an input and each other, all at once."""
    rng = np.random.default_rng(5)
    make = Builder()
    x = make.input("x", (5, 20))
    new, old = make.state("new", (5, 20)), make.state("old", (5, 20))
    make.keep("new", x)
    make.keep("old", new)
    return make.build(make.linear("read", old, *random_operands(rng, 20, 9)))


GRAPHS: Mapping[str, Callable[[], Graph]] = {
    f.__name__: f for f in (product, layer_of_a_model, chain, delay, recurrent, delay_line)
}


def check(device: Backend[Any], name: str, config: AcceleratorConfig) -> None:
    """Three runs, the states between them, another program in between, and all of it again."""
    graph = GRAPHS[name]()
    program = compile_graph(graph, config)
    verify(program)
    other = compile_graph(product(), config)
    rng = np.random.default_rng(9)
    given = [
        {i: rng.integers(-128, 128, graph.tensors[i].shape, dtype=np.int8) for i in graph.inputs}
        for _ in range(3)
    ]
    loaded = program if device.takes == "program" else graph
    device.load(loaded)
    for _ in range(2):  # the second time from the first values again
        states: dict[str, Any] = {}
        for index, inputs in enumerate(given):
            if index == 1 and device.takes == "program":
                device.load(other)  # states survive that
                device.load(loaded)
            wanted, states = reference(graph, inputs, states)
            found = device.run(inputs)
            for tensor in wanted:
                where = f"{device.name}, {tensor}, run {index}"
                np.testing.assert_array_equal(found[tensor], wanted[tensor], err_msg=where)
            for state, value in states.items():
                np.testing.assert_array_equal(device.read_state(state), value, err_msg=state)
        device.reset()
    device.unload(loaded)
