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

from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.requant import Requant
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

from .ranges import MIN_SCALE, AffineRange, Float

__all__ = [
    "QuantisedLinear",
    "integer_linear",
    "migration_factors",
    "quantise_to",
    "signal_to_noise_db",
]


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


@dataclass(frozen=True, eq=False)
class QuantisedLinear:
    """One linear layer: its graph, and how the host's reals meet the graph's integers.

    graph : one ``linear`` node with input ``a`` [M, K] and output ``out`` [M, N]. input, output :
    what these integers stand for. factors : float64 [K], which divide the input, or None.
    acc_scale : float64 [N], what one step of an accumulator stands for.

    A layer whose input is None is quantised per row: its input is symmetric with a scale for each
    row, acc_scale is to be multiplied by that scale, and float_bias is to be added on the host.
    A layer with int32 results has no output range.
    """

    name: str
    graph: Graph
    input: AffineRange | None
    output: AffineRange | None
    acc_scale: NDArray[np.float64]
    factors: NDArray[np.float64] | None = None
    float_bias: NDArray[np.float64] | None = None

    @property
    def node(self) -> Node:
        """The layer in integers."""
        return self.graph.nodes[0]

    @property
    def weights(self) -> NDArray[np.signedinteger[Any]]:
        """int8 [K, N]."""
        data = self.graph.operands(self.node)[1].data
        assert data is not None
        return data

    @property
    def result(self) -> str:
        """dtype of the results."""
        return self.graph.tensors[self.node.output].dtype

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
    _, weights, bias = (tensor.data for tensor in layer.graph.operands(layer.node))
    assert weights is not None and bias is not None
    acc = accumulate(bias.astype(np.int32), x, weights.astype(np.int8))
    by = layer.node.requant
    if by is None:
        return acc
    y = requantise(
        acc,
        by.multiplier,
        by.shift,
        pre=by.pre,
        zero_point=by.zero_point,
        low=by.low,
        high=by.high,
    )
    return y.astype(np.int32)


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
    """Quantise ``y = x @ weight.T + bias``, whose ranges are known.

    Parameters
    ----------
    name : for messages
    weight : float [N, K], as torch keeps it
    bias : float [N], or None
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
    q8 = q.astype(np.int8)
    if source is None:
        return QuantisedLinear(
            name=name,
            graph=linear_layer(name, q8, np.zeros(n, np.int32)),
            input=None,
            output=None,
            acc_scale=w_scale,
            factors=factors,
            float_bias=offset,
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
    requant = None
    if target is not None:
        ratio = acc_scale / target.scale
        pre = _pre_shift(q, q_bias, ratio, target)
        try:
            multiplier, shift = multiplier_for(ratio, pre)
        except ValueError as error:
            raise Unsupported(
                f"layer {name!r}: {error}", "widen the range of the output"
            ) from None
        requant = Requant(
            multiplier=multiplier,
            shift=shift,
            pre=pre,
            zero_point=target.zero_point,
            low=target.low,
            high=target.high,
        )
    return QuantisedLinear(
        name=name,
        graph=linear_layer(name, q8, q_bias.astype(np.int32), requant, result),
        input=source,
        output=target,
        acc_scale=acc_scale,
        factors=factors,
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
