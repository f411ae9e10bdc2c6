"""Layers as the documents describe them, in int64, and random ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.requant import Requant
from weft_hw.isa import ResultType
from weft_hw.numerics import SAT_BITS

RANGES = {ResultType.INT8: (-128, 127), ResultType.INT16: (-(2**15), 2**15 - 1)}


def random_requant(rng: np.random.Generator, problem: GemmProblem) -> Requant | None:
    """One whose results use the whole range and also saturate; None for int32 results."""
    if problem.result_type is ResultType.INT32:
        return None
    low, high = RANGES[problem.result_type]
    spread = int(np.log2(5000 * np.sqrt(problem.k) * 2**16 / high))
    return Requant(
        multiplier=rng.integers(0, 2**17, problem.n),
        shift=rng.integers(spread - 3, spread + 2, problem.n),
        pre=int(rng.integers(0, 3)),
        zero_point=int(rng.integers(-9, 10)),
        low=low + int(rng.integers(0, 9)),
        high=high - int(rng.integers(0, 9)),
        table=rng.integers(-128, 128, 256, dtype=np.int8) if problem.table else None,
    )


def random_operands(
    rng: np.random.Generator, k: int, n: int
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Weights [K, N] and bias [N]."""
    weights = rng.integers(-127, 128, (k, n), dtype=np.int8)
    return weights, rng.integers(-(2**15), 2**15, n, dtype=np.int32)


def random_layer(rng: np.random.Generator, problem: GemmProblem) -> Graph:
    """A graph of one layer, input ``a``, output ``out``."""
    weights, bias = random_operands(rng, problem.k, problem.n)
    kind = problem.result_type.name.lower()
    requant = random_requant(rng, problem)
    return linear_layer(problem.name, weights, bias, requant, kind, rows=problem.m)


def linear(a: NDArray[np.signedinteger], graph: Graph, node: Node) -> NDArray[np.int64]:
    """int64 [M, N]: what the accelerator must write for one node."""
    _, weights, bias = (tensor.data for tensor in graph.operands(node))
    total = a.astype(np.int64) @ weights.astype(np.int64) + bias.astype(np.int64)
    acc = (total + 2**31) % 2**32 - 2**31
    by = node.requant
    if by is None:
        return acc
    limit = 2 ** (SAT_BITS - 1)
    saturated = np.clip(acc >> by.pre, -limit, limit - 1)
    scaled = (saturated * by.multiplier + (np.int64(1) << (by.shift - 1))) >> by.shift
    y = np.minimum(np.maximum(scaled + by.zero_point, by.low), by.high)
    return by.table[y & 0xFF].astype(np.int64) if by.table is not None else y


def reference(
    graph: Graph, inputs: dict[str, NDArray], states: dict[str, NDArray] | None = None
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """(outputs, states after the run) of a graph of ``linear`` nodes."""
    values = {n: t.data for n, t in graph.tensors.items() if t.data is not None} | {**inputs}
    for name in graph.states:
        tensor = graph.tensors[name]
        start = np.zeros(tensor.shape, np.int64) if tensor.data is None else tensor.data
        values[name] = (states or {}).get(name, start)
    for node in graph.nodes:
        values[node.output] = linear(values[node.inputs[0]], graph, node)
    return {n: values[n] for n in graph.outputs}, {s: values[v] for s, v in graph.states.items()}
