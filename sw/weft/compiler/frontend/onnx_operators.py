"""What ONNX's operators are in torch: one function each, of attributes and inputs.

Source: ONNX operator schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from weft.errors import Unsupported

__all__ = ["BY_NUMBERS", "OPERATORS", "Attributes"]

Attributes = Mapping[str, Any]


def _ints(value: Any) -> list[int]:
    """Of a tensor that is known."""
    return [int(v) for v in np.asarray(value).reshape(-1)]


def _pads(x: Any, given: Attributes, kernel: Sequence[int], strides: Sequence[int],
          dilations: Sequence[int]) -> list[int]:  # fmt: skip
    """[left, right, top, bottom] around a map."""
    auto = given.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        top, left, bottom, right = given.get("pads", [0] * 4) if auto == "NOTSET" else [0] * 4
        return [left, right, top, bottom]
    found: list[int] = []
    for size, k, s, d in zip(x.shape[-2:], kernel, strides, dilations):
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        found = [*((small, large) if auto == "SAME_UPPER" else (large, small)), *found]
    return found


def _conv(given: Attributes, x: Any, w: Any, b: Any = None) -> Any:
    if w.ndim != 4:
        raise Unsupported(f"a convolution of {w.ndim - 2} dimensions: maps of two are read")
    strides = given.get("strides", [1, 1])
    dilations = given.get("dilations", [1, 1])
    left, right, top, bottom = _pads(x, given, w.shape[-2:], strides, dilations)
    padding = (top, left)
    if left != right or top != bottom:
        x, padding = F.pad(x, [left, right, top, bottom]), (0, 0)
    return F.conv2d(x, w, b, strides, padding, dilations, given.get("group", 1))


def _gemm(given: Attributes, a: Any, b: Any, c: Any = None) -> Any:
    a = a.transpose(0, 1) if given.get("transA", 0) else a
    b = b.transpose(0, 1) if given.get("transB", 0) else b
    y = a @ b * given.get("alpha", 1.0)
    return y if c is None else y + c * given.get("beta", 1.0)


def _linear(given: Attributes, x: Any, weights: Any, bias: Any = None) -> Any:
    return F.linear(x, weights, bias)


def _pool(given: Attributes, x: Any, average: bool) -> Any:
    kernel = given["kernel_shape"]
    if len(kernel) != 2:
        raise Unsupported(f"a pool of {len(kernel)} dimensions: maps of two are read")
    strides = given.get("strides", [1, 1])
    dilations = given.get("dilations", [1, 1])
    left, right, top, bottom = _pads(x, given, kernel, strides, dilations)
    ceil = bool(given.get("ceil_mode", 0))
    counts = bool(given.get("count_include_pad", 0))
    is_even = left == right and top == bottom and 2 * left <= kernel[1] and 2 * top <= kernel[0]
    sides = [left, right, top, bottom]
    if not is_even:
        if ceil or (average and not counts):
            raise Unsupported("a pool with an uneven border that does not count, or is rounded up")
        x = F.pad(x, sides, value=0.0 if average else -float("inf"))
        top = left = 0
    if average:
        if dilations != [1, 1]:
            raise Unsupported("an average with dilation")
        return F.avg_pool2d(x, kernel, strides, (top, left), ceil, counts or not any(sides))
    return F.max_pool2d(x, kernel, strides, (top, left), dilations, ceil)


def _clip(given: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
    bounds = [None if v is None else float(np.asarray(v).reshape(-1)[0]) for v in (low, high)]
    return x if bounds == [None, None] else torch.clamp(x, bounds[0], bounds[1])


def _batch_norm(given: Attributes, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    if given.get("training_mode", 0):
        raise Unsupported("batch norm in training")
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, given.get("epsilon", 1e-5))


def _flatten(given: Attributes, x: Any) -> Any:
    axis = given.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    first = int(np.prod(x.shape[:axis], dtype=np.int64)) if axis else 1
    return x.reshape(first, -1)


def _reshape(given: Attributes, x: Any, shape: Any) -> Any:
    wanted = _ints(shape)
    if not given.get("allowzero", 0):
        wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return x.reshape(wanted)


def _squeeze(given: Attributes, x: Any, axes: Any = None) -> Any:
    if axes is None:
        return x.squeeze()
    drop = {a % x.ndim for a in _ints(axes)}
    return x.reshape([n for i, n in enumerate(x.shape) if i not in drop])


def _unsqueeze(given: Attributes, x: Any, axes: Any) -> Any:
    rank = x.ndim + len(_ints(axes))
    for axis in sorted(a % rank for a in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _reduce_mean(given: Attributes, x: Any, axes: Any = None) -> Any:
    chosen = given.get("axes") if axes is None else _ints(axes)
    if not chosen:
        if given.get("noop_with_empty_axes", 0):
            return x
        chosen = list(range(x.ndim))
    return x.mean(chosen, keepdim=bool(given.get("keepdims", 1)))


def _pad(given: Attributes, x: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
    if given.get("mode", "constant") != "constant" or axes is not None:
        raise Unsupported("a pad that is not of all axes with a constant")
    sides = _ints(pads)
    half = len(sides) // 2
    widths = [side for i in reversed(range(half)) for side in (sides[i], sides[half + i])]
    while len(widths) > 2 and widths[-2:] == [0, 0]:
        widths = widths[:-2]
    filling = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
    return F.pad(x, widths, value=filling)


def _hard_sigmoid(given: Attributes, x: Any) -> Any:
    alpha, beta = given.get("alpha", 0.2), given.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(x * alpha + beta, 0.0, 1.0)


def _gelu(given: Attributes, x: Any) -> Any:
    return F.gelu(x, approximate=given.get("approximate", "none"))


#: Their inputs behind the first are bounds and sizes, which have to be known.
BY_NUMBERS = ("Clip", "Pad")
#: Operator -> called with the attributes and the inputs; what is known is an array or a Parameter.
OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Add": lambda given, a, b: a + b,
    "AveragePool": lambda given, x: _pool(given, x, True),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda given, *x: torch.cat(x, given["axis"]),
    "Conv": _conv,
    "Div": lambda given, a, b: a / b,
    "Dropout": lambda given, x, *_: x,
    "Elu": lambda given, x: F.elu(x, given.get("alpha", 1.0)),
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda given, x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda given, x: F.hardswish(x),
    "Identity": lambda given, x: x,
    "LeakyRelu": lambda given, x: F.leaky_relu(x, given.get("alpha", 0.01)),
    "Linear": _linear,
    "LogSoftmax": lambda given, x: F.log_softmax(x, given.get("axis", -1)),
    "MatMul": lambda given, a, b: torch.matmul(a, b),
    "MaxPool": lambda given, x: _pool(given, x, False),
    "Mul": lambda given, a, b: a * b,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": lambda given, x: F.relu(x),
    "Reshape": _reshape,
    "Sigmoid": lambda given, x: torch.sigmoid(x),
    "Softmax": lambda given, x: F.softmax(x, given.get("axis", -1)),
    "Squeeze": _squeeze,
    "Sub": lambda given, a, b: a - b,
    "Tanh": lambda given, x: torch.tanh(x),
    "Transpose": lambda given, x: x.permute(given.get("perm") or [*range(x.ndim)][::-1]),
    "Unsqueeze": _unsqueeze,
}  # fmt: skip
