"""ONNX's integer operators, one at a time, each by programs of the accelerator.

``ConvInteger``, ``MatMulInteger``, ``QLinearConv`` and ``QLinearMatMul``. uint8 activations become
int8 by 128; weights minus their zero point reach from -255 to 255, so they are split into as
many terms of -127..127 as that takes, and the input stands as often in the reduction: products and
sums are exact. A QLinear operator rounds half up, once, with a multiplier of 17 bits; ONNX rounds
half to even, and asks for no more than one step of difference.

Source: ONNX operator schemas, opset 21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Backend
from weft.compiler.graph.build import Builder
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.window import Window
from weft.compiler.lower.program import compile_graph
from weft.errors import Unsupported, UsageError
from weft.verify import verify
from weft_hw.numerics import ACC_MAX, WEIGHT_MAX, multiplier_for

__all__ = ["OPERATORS", "run_operator"]

Array = NDArray[Any]

#: By name: how many inputs an operator has at least, and at most.
OPERATORS = {
    "ConvInteger": (2, 4),
    "MatMulInteger": (2, 4),
    "QLinearConv": (8, 9),
    "QLinearMatMul": (8, 8),
}


def run_operator(
    op: str,
    inputs: Sequence[Array | None],
    attributes: Mapping[str, Any],
    device: Backend[Any],
) -> Array:
    """The result of one operator.

    Parameters
    ----------
    op : a name of :data:`OPERATORS`
    inputs : as the schema orders them; None where an optional one is left out. Activations and
        weights are int8 or uint8.
    attributes : of the node
    device : a backend that runs programs, or graphs

    Raises
    ------
    Unsupported
        The operator, an attribute or a zero point is not one that is covered; a sum may not fit
        int32.
    UsageError
        Shapes do not fit each other.
    """
    if op not in OPERATORS:
        raise Unsupported(f"there is no operator {op!r}", f"there are {', '.join(OPERATORS)}")
    least, most = OPERATORS[op]
    given = [*inputs, *[None] * (most - len(inputs))]
    if not least <= len(inputs) <= most or any(x is None for x in given[:2]):
        raise UsageError(f"{op} has {least} to {most} inputs, not {len(inputs)}")
    if op == "MatMulInteger":
        a, b, a_zero, b_zero = given
        return _matmul(op, a, b, a_zero, b_zero, None, device)
    if op == "QLinearMatMul":
        a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = given
        return _matmul(op, a, b, a_zero, b_zero, (a_scale, b_scale, y_scale, y_zero), device)
    if op == "ConvInteger":
        x, w, x_zero, w_zero = given
        return _conv(op, x, w, x_zero, w_zero, None, None, attributes, device)
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = given
    scales = (x_scale, w_scale, y_scale, y_zero)
    return _conv(op, x, w, x_zero, w_zero, scales, bias, attributes, device)


def _as_int8(op: str, x: Any, zero: Any) -> tuple[Array, int]:
    """(int8, its zero point) of activations."""
    if x.dtype not in (np.int8, np.uint8):
        raise Unsupported(f"{op}: activations must be int8 or uint8, not {x.dtype}")
    found = np.zeros(1, np.int64) if zero is None else np.asarray(zero, np.int64).reshape(-1)
    if len(found) != 1:
        raise Unsupported(f"{op}: {len(found)} zero points of activations: one is covered")
    if x.dtype == np.int8:
        return x, int(found[0])
    return (x.astype(np.int16) - 128).astype(np.int8), int(found[0]) - 128


def _terms(op: str, w: Array) -> list[Array]:
    """int8 arrays of -127..127 whose sum is `w`."""
    count = max(1, -(-int(np.abs(w).max(initial=0)) // WEIGHT_MAX))
    found, left = [], w.astype(np.int64)
    for _ in range(count):
        part = np.clip(left, -WEIGHT_MAX, WEIGHT_MAX)
        found.append(part.astype(np.int8))
        left = left - part
    return found


def _requant(op: str, scales: Any, channels: int) -> tuple[Requant | None, int]:
    """(how sums become results, what is added to make uint8 of them).

    `scales` are those of both inputs and of the output, and its zero point; None: sums are results.
    """
    if scales is None:
        return None, 0
    a, b, y, zero = (np.asarray(s, np.float64).reshape(-1) for s in scales)
    if len(a) != 1 or len(y) != 1 or len(b) not in (1, channels) or len(zero) != 1:
        raise Unsupported(f"{op}: a scale for each row of activations or results is not covered")
    try:
        multiplier, shift = multiplier_for(np.broadcast_to(a[0] * b / y[0], (channels,)).copy())
    except ValueError as error:
        raise Unsupported(f"{op}: {error}") from None
    offset = 128 if np.asarray(scales[3]).dtype == np.uint8 else 0
    return Requant(multiplier, shift, zero_point=int(zero[0]) - offset), offset


def _bias(op: str, w: Array, zero: int, bias: Any) -> NDArray[np.int32]:
    """int32 [N] of weights [K, N] minus their zero point: what the zero point of the input adds."""
    found = -zero * w.sum(0)
    if bias is not None:
        found = found + np.asarray(bias, np.int64).reshape(-1)
    reach = np.abs(found) + 128 * np.abs(w).sum(0)
    if reach.max(initial=0) > ACC_MAX:
        raise Unsupported(f"{op}: a sum can reach {int(reach.max())}, beyond int32")
    return np.asarray(found, np.int32)


def _run(graph: Graph, given: Mapping[str, Array], device: Backend[Any]) -> Array:
    if device.takes == "program":
        program = compile_graph(graph, device.config)
        verify(program)
        device.load(program)
        (found,) = device.run(given).values()
        device.unload(program)
    else:
        device.load(graph)
        (found,) = device.run(given).values()
        device.unload(graph)
    return found


def _matmul(
    op: str, a: Any, b: Any, a_zero: Any, b_zero: Any, scales: Any, device: Backend[Any]
) -> Array:
    """[..., M, K] @ [..., K, N]; each matrix of a batch is a program."""
    a8, zero = _as_int8(op, a, a_zero)
    if b.dtype not in (np.int8, np.uint8):
        raise Unsupported(f"{op}: weights must be int8 or uint8, not {b.dtype}")
    if a8.ndim < 2 or b.ndim < 2 or a8.shape[-1] != b.shape[-2]:
        raise UsageError(f"{op}: {list(a8.shape)} and {list(b.shape)} have no product")
    b_offset = np.zeros(1, np.int64) if b_zero is None else np.asarray(b_zero, np.int64)
    w = b.astype(np.int64) - b_offset.reshape(-1)
    batch = np.broadcast_shapes(a8.shape[:-2], w.shape[:-2])
    xs = np.broadcast_to(a8, (*batch, *a8.shape[-2:])).reshape(-1, *a8.shape[-2:])
    ws = np.broadcast_to(w, (*batch, *w.shape[-2:])).reshape(-1, *w.shape[-2:])
    found = []
    n = w.shape[-1]
    by, offset = _requant(op, scales, n)
    for x, one in zip(xs, ws):
        parts = _terms(op, one)
        make = Builder()
        name = make.input("a", (len(x), x.shape[1] * len(parts)))
        y = make.linear("y", name, np.concatenate(parts), _bias(op, one, zero, None), by)
        found.append(_run(make.build(y), {"a": np.concatenate([x] * len(parts), 1)}, device))
    out = np.stack(found).reshape(*batch, a8.shape[-2], n)
    return out if not offset else (out.astype(np.int16) + offset).astype(np.uint8)


def _conv(
    op: str,
    x: Any,
    w: Any,
    x_zero: Any,
    w_zero: Any,
    scales: Any,
    bias: Any,
    attributes: Mapping[str, Any],
    device: Backend[Any],
) -> Array:
    """[B, C, H, W] with [N, C, kernel, kernel]; each example is a run."""
    x8, zero = _as_int8(op, x, x_zero)
    if x8.ndim != 4 or w.ndim != 4:
        raise Unsupported(f"{op}: maps of two dimensions are covered, not {list(x8.shape)}")
    if attributes.get("group", 1) != 1 or attributes.get("auto_pad", b"NOTSET") not in (
        b"NOTSET", "NOTSET"
    ):  # fmt: skip
        raise Unsupported(f"{op}: group and auto_pad are not covered", "give pads, and one group")
    n, channels, *kernel = w.shape
    if channels != x8.shape[1]:
        raise UsageError(f"{op}: {list(x8.shape)} and {list(w.shape)} have no convolution")
    offsets = np.zeros(1, np.int64) if w_zero is None else np.asarray(w_zero, np.int64)
    whole = w.astype(np.int64) - offsets.reshape(-1, 1, 1, 1)
    parts = [part.transpose(2, 3, 1, 0) for part in _terms(op, whole)]
    top, left, bottom, right = attributes.get("pads", [0] * 4)
    window = Window(
        (kernel[0], kernel[1]),
        tuple(attributes.get("strides", [1, 1])),
        tuple(attributes.get("dilations", [1, 1])),
    )
    by, offset = _requant(op, scales, n)
    # The border is data, so that few channels and odd widths need no rule of their own.
    sides = ((0, 0), (top, bottom), (left, right), (0, 0))
    maps = np.pad(x8.transpose(0, 2, 3, 1), sides, constant_values=zero)
    maps = np.concatenate([maps] * len(parts), 3)
    make = Builder()
    name = make.input("x", maps.shape[1:])
    weights = np.ascontiguousarray(np.concatenate(parts, 2))
    flat = _bias(op, whole.reshape(n, -1).T, zero, bias)
    graph = make.build(make.convolution("y", name, weights, flat, by, window=window))
    out = np.stack([_run(graph, {"x": one}, device) for one in maps]).transpose(0, 3, 1, 2)
    return np.asarray(out if not offset else (out.astype(np.int16) + offset).astype(np.uint8))
