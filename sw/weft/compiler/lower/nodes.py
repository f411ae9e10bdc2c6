"""What each operation is on the accelerator: its problem, and its weights and parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.ops import ADD_WEIGHT
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.tensor import DTYPES, Tensor
from weft.compiler.graph.windowed import Channels, WindowProblem
from weft.compiler.schedule.plan import Problem, round_up
from weft.compiler.schedule.walk import walk_of
from weft.program.tensor import PIXEL_PITCH
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import ResultType

from .constants import pack_parameters, pack_taps, pack_weights

__all__ = [
    "bytes_of", "constants_of", "home_of", "pitches_of", "problem_of", "requant_of",
    "taps_of_node",
]  # fmt: skip


def pitches_of(graph: Graph, name: str) -> tuple[int, ...]:
    """Bytes from one index to the next of each dimension but the innermost, which is dense.

    The innermost vector takes whole granules; pixels of an input map of up to four bytes lie four
    bytes apart, and its lines take whole granules. What is added to results lies as these do, and a
    part as the whole that it is in.
    """
    tensor = graph.tensors[graph.parts.get(name, name)]
    sizes, size = tensor.sizes, tensor.sizes[-1] * DTYPES[tensor.dtype].itemsize
    added = any(name in node.activations[1:] for node in graph.nodes)
    is_narrow = (
        len(sizes) == 3 and size <= PIXEL_PITCH and name in graph.inputs and not added
    )
    found = [PIXEL_PITCH if is_narrow else round_up(size, GRANULE_BYTES)]
    for count in sizes[-2:0:-1]:
        found.insert(0, round_up(count * found[0], GRANULE_BYTES))
    return tuple(found[: len(sizes) - 1]) if len(sizes) > 1 else ()


def home_of(graph: Graph, name: str) -> tuple[str, int]:
    """(the tensor that a tensor lies in, bytes from its start): itself, or what it is a part of."""
    whole = graph.parts.get(name)
    if whole is None:
        return name, 0
    offset = 0
    for part in graph.nodes[graph.producers[whole]].inputs:
        if part == name:
            break
        offset += graph.tensors[part].sizes[2]
    return whole, offset


def bytes_of(graph: Graph, name: str) -> int:
    """Bytes that a tensor takes in the arena."""
    tensor, pitches = graph.tensors[name], pitches_of(graph, name)
    if not pitches:
        return round_up(tensor.sizes[0] * DTYPES[tensor.dtype].itemsize, GRANULE_BYTES)
    return round_up(tensor.sizes[0] * pitches[0], GRANULE_BYTES)


def _is_vector(x: Tensor, node: Node, pixel: int) -> bool:
    """Whether the window is the map, whose bytes follow each other."""
    window = node.window
    assert window is not None
    return (
        window.kernel == x.sizes[:2]
        and window.dilation == (1, 1)
        and not any(window.padding)
        and pixel == x.sizes[2]
    )


def problem_of(graph: Graph, node: Node) -> Problem:
    """The problem of a node of a bound graph; a convolution that is a product is one."""
    if node.op == "linear":
        return GemmProblem.of(graph, node)
    x, out = graph.operands(node)[0], graph.tensors[node.output]
    in_pixel, out_pixel = pitches_of(graph, node.inputs[0])[1], pitches_of(graph, node.output)[1]
    problem = WindowProblem.of(graph, node, in_pixel, out_pixel)
    if node.op == "conv2d" and in_pixel >= GRANULE_BYTES:
        how = ResultType[out.dtype.upper()], problem.table, problem.residual
        if problem.window.is_plain:
            return GemmProblem(problem.pixels, problem.channels, problem.outputs, *how)
        if _is_vector(x, node, in_pixel):
            return GemmProblem(1, math.prod(x.sizes), problem.outputs, *how)
    return problem


def constants_of(
    config: AcceleratorConfig, graph: Graph, node: Node, problem: Problem
) -> tuple[NDArray[np.int8], NDArray[np.uint64]]:
    """(weight tiles in order of use, parameter entries) of a node."""
    if isinstance(problem, WindowProblem) and problem.kind is Channels.ALIKE:
        return _alike(config, graph, node)
    weights, bias = (graph.tensors[name].data for name in node.inputs[1:3])
    assert weights is not None and bias is not None
    packed = _weights(config, weights, problem)
    return packed, pack_parameters(config, bias, node.requant)


def taps_of_node(
    config: AcceleratorConfig, graph: Graph, node: Node, problem: Problem
) -> NDArray[np.int8]:
    """Memories of taps of a node that the depthwise engine does, one after the other."""
    assert isinstance(problem, WindowProblem)
    weights, bias = (graph.tensors[name].data for name in node.inputs[1:3])
    walk = walk_of(config, problem)
    assert weights is not None and bias is not None and walk is not None
    entries = pack_parameters(config, bias, node.requant)
    return pack_taps(config, weights, entries, walk)


def requant_of(node: Node) -> Requant | None:
    """How results are scaled: that of the node; a maximum without one is itself."""
    if node.op == "max_pool" and node.requant is None:
        return Requant(np.array([1 << 16]), np.array([16]))
    return node.requant


def _weights(
    config: AcceleratorConfig, weights: NDArray[Any], problem: Problem
) -> NDArray[np.int8]:
    if isinstance(problem, GemmProblem):
        return pack_weights(config, weights.reshape(problem.k, problem.n))
    if problem.kind is Channels.EACH:
        return _each(config, weights)
    down, across, channels, outputs = weights.shape
    runs, tiles = problem.runs(config)
    # By line of the kernel, run, and byte in the run: zero between and past channels.
    taps = across // runs
    lines = np.zeros((down, runs, taps, problem.in_pixel, outputs), np.int8)
    lines[:, :, :, :channels] = weights.reshape(down, runs, taps, channels, outputs)
    lines = lines.reshape(down, runs, taps * problem.in_pixel, outputs)
    size = tiles * config.rows
    padded = np.zeros((down, runs, size, outputs), np.int8)
    kept = min(size, lines.shape[2])
    padded[:, :, :kept] = lines[:, :, :kept]
    return pack_weights(config, padded.reshape(-1, outputs))


def _diagonals(config: AcceleratorConfig) -> NDArray[np.int8]:
    """int8 [C / R, R, C]: tile s passes R channels to columns s*R and on."""
    return np.eye(config.cols, dtype=np.int8).reshape(-1, config.rows, config.cols)


def _each(config: AcceleratorConfig, weights: NDArray[Any]) -> NDArray[np.int8]:
    """Tiles of a convolution of each channel by itself: groups of C channels, then taps."""
    channels, cols = weights.shape[2], config.cols
    groups = -(-channels // cols)
    padded = np.zeros((weights.shape[0] * weights.shape[1], groups * cols), np.int8)
    padded[:, :channels] = weights.reshape(-1, channels)
    # [groups, taps, 1, 1, C] * [C / R, R, C]
    spread = padded.reshape(-1, groups, cols).transpose(1, 0, 2)[:, :, None, None]
    tiles = spread * _diagonals(config)
    parts = [pack_weights(config, group.reshape(-1, cols)) for group in tiles]
    return np.concatenate(parts)


def _alike(
    config: AcceleratorConfig, graph: Graph, node: Node
) -> tuple[NDArray[np.int8], NDArray[np.uint64]]:
    """The tiles that pass channels on, and one column of parameters for all columns of tiles."""
    unit = ADD_WEIGHT if node.op == "add" else 1
    tiles = (_diagonals(config) * unit).astype(np.int8).reshape(-1, config.cols)
    by = requant_of(node)
    assert by is not None
    # No product is below the start of a maximum.
    start = np.array([-128]) if node.op == "max_pool" else graph.operands(node)[1].data
    assert start is not None
    bias = np.repeat(start.astype(np.int32), config.cols)
    same = Requant(by.multiplier.repeat(config.cols), by.shift.repeat(config.cols))
    return pack_weights(config, tiles), pack_parameters(config, bias, same)
