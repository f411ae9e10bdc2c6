"""From a float linear layer and the activations that reach it to integers that the core runs.

numpy only. Activations are affine int8 per tensor; weights are symmetric int8 per output channel;
the zero point of the activations is folded into the bias, so the array multiplies raw int8. A
migration divides each channel of the activations, and multiplies its row of weights, by a factor:
it moves the spread between channels to where one scale per channel can hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import Unsupported, UsageError
from weft_hw.numerics import (
    ACC_MAX,
    ACC_MIN,
    PRE_MAX,
    SAT_BITS,
    WEIGHT_MAX,
    accumulate,
    multiplier_for,
    requantise,
)

__all__ = [
    "AffineRange",
    "QuantisedLinear",
    "affine_range",
    "integer_linear",
    "migration_factors",
    "quantise_linear",
    "quantise_to",
    "signal_to_noise_db",
]

Float = NDArray[np.floating[Any]]

#: Smallest scale: a constant tensor would give zero, and a dead channel a bias beyond int32.
MIN_SCALE = 2.0**-24


@dataclass(frozen=True)
class AffineRange:
    """How integers of one tensor stand for reals: ``real = scale * (q - zero_point)``."""

    scale: float
    zero_point: int
    low: int
    high: int

    def quantise(self, x: Float) -> NDArray[np.int64]:
        """Nearest integers, clamped to low..high; the shape of `x`."""
        q = np.floor(np.asarray(x, np.float64) / self.scale + 0.5) + self.zero_point
        return np.asarray(np.clip(q, self.low, self.high), np.int64)

    def real(self, q: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Reals of the integers `q`, same shape."""
        return self.scale * (q.astype(np.float64) - self.zero_point)


def affine_range(x: Float, bits: int = 8, symmetric: bool = False) -> AffineRange:
    """Range of all of `x`, zero included, in integers of `bits` bits.

    Parameters
    ----------
    x : float, any shape, finite and not empty
    bits : 8 or 16
    symmetric : bool
        Zero point 0, and the most negative integer is not used.

    Raises
    ------
    UsageError
        `x` is empty or holds a value that is not finite.
    """
    if x.size == 0 or not np.all(np.isfinite(x)):
        raise UsageError(f"a range needs finite values, not {x.size} values with NaN or infinity")
    top = 2 ** (bits - 1) - 1
    if symmetric:
        return AffineRange(max(float(np.max(np.abs(x))) / top, MIN_SCALE), 0, -top, top)
    low, high = min(0.0, float(np.min(x))), max(0.0, float(np.max(x)))
    scale = max((high - low) / (2 * top + 1), MIN_SCALE)
    zero_point = int(np.clip(np.floor(-top - 1 - low / scale + 0.5), -top - 1, top))
    return AffineRange(scale, zero_point, -top - 1, top)


def migration_factors(x_peak: Float, w_peak: Float, alpha: float = 0.5) -> NDArray[np.float64]:
    """Factors ``x_peak**alpha / w_peak**(1 - alpha)`` by which to divide the channels of an input.

    Parameters
    ----------
    x_peak : float [K], largest magnitude of each channel
    w_peak : float [K], largest magnitude of the weights that each channel meets
    alpha : float, 0..1
        How much of the spread goes to the weights.
    """
    x, w = (np.maximum(np.asarray(v, np.float64), 1e-5) for v in (x_peak, w_peak))
    return np.asarray(x**alpha / w ** (1.0 - alpha), np.float64)


@dataclass(frozen=True)
class QuantisedLinear:
    """One linear layer in integers.

    weights : int8 [K, N]; bias : int32 [N], the input's zero point folded in; multiplier, shift :
    int64 [N]; pre : right shift before the saturation; result : "int8", "int16" or "int32"; input,
    output : what the integers stand for; factors : float64 [K], which divide the input, or None;
    acc_scale : float64 [N], what one step of an accumulator stands for.

    A layer whose input is None is quantised per row: its input is symmetric with a scale for each
    row, acc_scale is to be multiplied by that scale, and float_bias is to be added on the host.
    A layer with int32 results has no output range.
    """

    name: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    pre: int
    result: str
    input: AffineRange | None
    output: AffineRange | None
    acc_scale: NDArray[np.float64]
    factors: NDArray[np.float64] | None = None
    float_bias: NDArray[np.float64] | None = None

    def quantise(self, x: Float) -> tuple[NDArray[np.int8], NDArray[np.float64] | None]:
        """Integers [M, K] of the input [M, K], and the scale [M, 1] of each row if there is one."""
        if self.factors is not None:
            x = x / self.factors
        if self.input is not None:
            return self.input.quantise(x).astype(np.int8), None
        scale = np.maximum(np.max(np.abs(x), axis=1, keepdims=True) / WEIGHT_MAX, MIN_SCALE)
        q = np.clip(np.floor(x / scale + 0.5), -WEIGHT_MAX, WEIGHT_MAX)
        return q.astype(np.int8), np.asarray(scale, np.float64)

    def real(
        self, q: NDArray[np.integer[Any]], scale: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Reals [M, N] of the results [M, N]; `scale` as :meth:`quantise` gave it."""
        if self.output is not None:
            return self.output.real(q)
        y = q * self.acc_scale
        if scale is not None:
            y = y * scale
        return y if self.float_bias is None else y + self.float_bias


def integer_linear(layer: QuantisedLinear, x: NDArray[np.int8]) -> NDArray[np.int32]:
    """Results [M, N] of the integers `x` [M, K], by the definition of each step."""
    acc = accumulate(layer.bias, x, layer.weights)
    if layer.output is None:
        return acc
    y = requantise(
        acc,
        layer.multiplier,
        layer.shift,
        pre=layer.pre,
        zero_point=layer.output.zero_point,
        low=layer.output.low,
        high=layer.output.high,
    )
    return y.astype(np.int32)


def quantise_linear(
    name: str, weight: Float, bias: Float | None, x: Float, y: Float, *, result: str = "int8"
) -> QuantisedLinear:
    """Quantise ``y = x @ weight.T + bias``.

    Parameters
    ----------
    name : str
        For messages.
    weight : float [N, K], as torch keeps it
    bias : float [N], or None
    x : float [M, K], activations that reach the layer; they set the input's range.
    y : float [M, N], what it answers; they set the output's range.
    result : "int8" or "int16"

    Raises
    ------
    UsageError
        Shapes disagree, a value is not finite, or `result` is another type.
    Unsupported
        A bias, or a scale, cannot be represented.
    """
    n, k = weight.shape
    if x.shape[-1] != k or y.shape[-1] != n:
        raise UsageError(
            f"layer {name!r}: weight [{n}, {k}] needs x [M, {k}], y [M, {n}] and bias [{n}], not "
            f"{list(x.shape)}, {list(y.shape)} and {_shape(bias, n)}"
        )
    if result not in ("int8", "int16"):
        raise UsageError(f"layer {name!r}: result must be int8 or int16, not {result!r}")
    target = affine_range(y) if result == "int8" else affine_range(y, 16, symmetric=True)
    return quantise_to(name, weight, bias, affine_range(x), target, result=result)


def _shape(bias: Float | None, n: int) -> list[int]:
    return [n] if bias is None else list(bias.shape)


def quantise_to(
    name: str,
    weight: Float,
    bias: Float | None,
    source: AffineRange | None,
    target: AffineRange | None,
    *,
    result: str,
    factors: NDArray[np.float64] | None = None,
) -> QuantisedLinear:
    """Quantise a layer whose ranges are known.

    Parameters
    ----------
    name, weight, bias : as :func:`quantise_linear` takes them
    source : range of the input, divided by `factors` if there are any; None: a scale per row
    target : range of the output; None with int32 results
    result : "int8", "int16" or "int32"; a layer with a scale per row needs int32.
    factors : float64 [K], optional
        See :func:`migration_factors`.

    Raises
    ------
    UsageError
        A weight or a bias is not finite, or the bias has another shape.
    Unsupported
        A bias, or a scale, cannot be represented.
    """
    n, _ = weight.shape
    offset = np.zeros(n) if bias is None else np.asarray(bias, np.float64)
    if offset.shape != (n,):
        raise UsageError(f"layer {name!r}: bias must be [{n}], not {list(offset.shape)}")
    if not (np.all(np.isfinite(weight)) and np.all(np.isfinite(offset))):
        raise UsageError(
            f"layer {name!r} has weights or a bias with NaN or infinity", "repair the checkpoint"
        )
    w = np.asarray(weight, np.float64).T
    if factors is not None:
        w = w * factors[:, None]
    w_scale = np.maximum(np.max(np.abs(w), axis=0) / WEIGHT_MAX, MIN_SCALE)
    q = np.clip(np.floor(w / w_scale + 0.5), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int64)
    q8, zeros = q.astype(np.int8), np.zeros(n, np.int64)
    if source is None:
        none = zeros.astype(np.int32)
        return QuantisedLinear(
            *(name, q8, none, zeros, zeros + 1, 0, "int32", None, None, w_scale, factors, offset)
        )
    acc_scale = source.scale * w_scale
    q_bias = np.floor(offset / acc_scale + 0.5) - source.zero_point * q.sum(axis=0)
    if np.any((q_bias < ACC_MIN) | (q_bias > ACC_MAX)):
        worst = int(np.argmax(np.abs(q_bias)))
        raise Unsupported(
            f"layer {name!r}: the bias of channel {worst} is {q_bias[worst]:.0f} accumulator "
            "steps, beyond int32",
            "scale the channel's weights up, or its bias down",
        )
    b32 = q_bias.astype(np.int32)
    if target is None:
        return QuantisedLinear(
            *(name, q8, b32, zeros, zeros + 1, 0, "int32", source, None, acc_scale, factors)
        )
    ratio = acc_scale / target.scale
    pre = _pre_shift(q, q_bias, ratio, target)
    try:
        multiplier, shift = multiplier_for(ratio, pre)
    except ValueError as error:
        raise Unsupported(f"layer {name!r}: {error}", "widen the range of the output") from None
    return QuantisedLinear(
        *(name, q8, b32, multiplier, shift, pre, result, source, target, acc_scale, factors)
    )


def _pre_shift(
    q: NDArray[np.int64], bias: NDArray[np.float64], ratio: NDArray[np.float64], target: AffineRange
) -> int:
    """Smallest shift by which no accumulator is saturated that would not be clamped anyway."""
    reach = np.abs(bias) + 128.0 * np.abs(q).sum(axis=0)  # no accumulator is larger
    span = max(target.high - target.zero_point, target.zero_point - target.low) + 1
    needed = float(np.max(np.minimum(reach, span / ratio)))
    limit = 2 ** (SAT_BITS - 1) - 1
    return next((p for p in range(PRE_MAX) if needed / 2**p <= limit), PRE_MAX)


def signal_to_noise_db(want: Float, got: Float) -> float:
    """``10 log10(sum want^2 / sum (got - want)^2)``; infinity where they are equal."""
    noise = float(np.sum((np.asarray(got, np.float64) - want) ** 2))
    signal = float(np.sum(np.asarray(want, np.float64) ** 2))
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))
