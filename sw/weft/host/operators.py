"""The numpy host library: every operator that runs where there is no torch.

Values have the shapes of torch with a batch of one, and are float32; sums are taken in float32 as
numpy takes them. ``OPERATORS`` is the published list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["OPERATORS", "POINTWISE", "Array"]

Array = NDArray[Any]
_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


def _gelu(x: Array, approximate: str = "none") -> Array:
    """Hendrycks and Gimpel, arXiv:1606.08415."""
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


#: Functions of one value, which a table can hold. Called with an array and the attributes.
POINTWISE: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "sigmoid": _sigmoid,
        "silu": lambda x: x * _sigmoid(x),
        "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
        "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
        "tanh": np.tanh,
        "gelu": _gelu,
        "leaky_relu": lambda x, negative_slope: np.where(x > 0, x, x * negative_slope),
        "elu": _elu,
    }
)


def _clamp(x: Array, low: float | None, high: float | None) -> Array:
    return np.asarray(np.clip(x, low, high)) if (low, high) != (None, None) else x


def _bordered(x: Array, padding: list[int], value: float) -> Array:
    """x [1, C, H, W] with [top, bottom, left, right] pixels of `value` around it."""
    top, bottom, left, right = padding
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.asarray(np.pad(x, sides, constant_values=value))


def _windows(
    x: Array, kernel: list[int], stride: list[int], dilation: list[int]
) -> Array:
    """[1, C, OH, OW, kernel, kernel]: what each position of the kernel sees."""
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation))
    seen = sliding_window_view(x, reach, axis=(2, 3))  # type: ignore[call-overload]
    return np.asarray(
        seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    )


def _conv2d(
    x: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    flattened: bool = False,
) -> Array:
    """weights [N, C / groups, kernel, kernel]; `flattened` gives [1, N] of a single pixel, as the
    linear layer that the convolution was."""
    seen = _windows(_bordered(x, padding, 0), list(weights.shape[2:]), stride, dilation)[0]
    n, own = weights.shape[:2]
    _, high, wide = seen.shape[:3]
    out = np.empty((n, high, wide), np.float32)
    for g in range(groups):
        part = seen[g * own : (g + 1) * own].transpose(1, 2, 0, 3, 4).reshape(high * wide, -1)
        rows = slice(g * n // groups, (g + 1) * n // groups)
        flat = weights[rows].reshape(n // groups, -1)
        out[rows] = (part @ flat.T).T.reshape(-1, high, wide)
    found = out[None] if bias is None else out[None] + bias.reshape(1, -1, 1, 1)
    return np.asarray(found.reshape(1, -1) if flattened else found)


def _linear(x: Array, weights: Array, bias: Array | None = None) -> Array:
    y = x @ weights.T
    return np.asarray(y if bias is None else y + bias)


def _ceil_padding(
    x: Array, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> list[int]:
    """`padding`, with what windows that begin in the map, or its border before, reach over."""
    found = list(padding)
    for at in (0, 1):
        size = x.shape[2 + at]
        reach = dilation[at] * (kernel[at] - 1) + 1
        before, after = padding[2 * at], padding[2 * at + 1]
        count = -(-(size + before + after - reach) // stride[at]) + 1
        if (count - 1) * stride[at] >= size + before:
            count -= 1
        found[2 * at + 1] = max((count - 1) * stride[at] + reach - size - before, 0)
    return found


def _max_pool2d(
    x: Array,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil: bool,
) -> Array:
    if ceil:
        padding = _ceil_padding(x, kernel, stride, padding, dilation)
    bordered = _bordered(x, padding, -np.inf)
    return np.asarray(_windows(bordered, kernel, stride, dilation).max((4, 5)))


def _avg_pool2d(
    x: Array,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    ceil: bool,
    border_counts: bool,
) -> Array:
    whole = _ceil_padding(x, kernel, stride, padding, [1, 1]) if ceil else padding
    total = _windows(_bordered(x, whole, 0), kernel, stride, [1, 1]).sum((4, 5))
    # What counts: the map, with its own border where it says so, never what rounding up adds.
    ones = np.ones((1, 1, *x.shape[2:]), np.float32)
    own = _bordered(ones, padding, 1.0 if border_counts else 0.0)
    more = [max(a - b, 0) for a, b in zip(whole, padding)]
    less = [max(b - a, 0) for a, b in zip(whole, padding)]
    own = _bordered(own, more, 0)
    own = own[:, :, : own.shape[2] - less[1] or None, : own.shape[3] - less[3] or None]
    return np.asarray(total / _windows(own, kernel, stride, [1, 1]).sum((4, 5)))


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def _log_softmax(x: Array, axis: int) -> Array:
    y = x - x.max(axis, keepdims=True)
    return np.asarray(y - np.log(np.exp(y).sum(axis, keepdims=True)))


def _pad(x: Array, widths: list[int], value: float) -> Array:
    """`widths` from the last axis on, before and behind; negative ones cut off."""
    sides = [(0, 0)] * x.ndim
    for i in range(len(widths) // 2):
        sides[x.ndim - 1 - i] = (widths[2 * i], widths[2 * i + 1])
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(sides, x.shape))
    grown = [(max(a, 0), max(b, 0)) for a, b in sides]
    return np.pad(x[cut], grown, constant_values=value)


def _concat(*parts: Array, axis: int) -> Array:
    return np.concatenate(parts, axis)


#: By name. Called with the inputs, then constants and attributes by name.
OPERATORS: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        **POINTWISE,
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "clamp": _clamp,
        "conv2d": _conv2d,
        "linear": _linear,
        "max_pool2d": _max_pool2d,
        "avg_pool2d": _avg_pool2d,
        "mean": lambda x, axes, keep: x.mean(tuple(axes), keepdims=keep),
        "softmax": _softmax,
        "log_softmax": _log_softmax,
        "reshape": lambda x, shape: x.reshape(shape),
        "permute": lambda x, axes: x.transpose(axes),
        "pad": _pad,
        "concat": _concat,
    }
)
