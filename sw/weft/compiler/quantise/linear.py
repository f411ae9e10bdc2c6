"""From a float linear layer and the activations that reach it to integers that the core runs.

numpy only. Activations are affine int8 per tensor; weights are symmetric int8 per output channel;
the zero point of the activations is folded into the bias, so the array multiplies raw int8. A
migration divides each channel of the activations, and multiplies its row of weights, by a factor:
it moves the spread between channels to where one scale per channel can hold it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.scale import Float, Scale, nearest
from weft.errors import Unsupported, UsageError
from weft_hw.numerics import (
    ACC_MAX,
    MULTIPLIER_MAX,
    PRE_MAX,
    SAT_BITS,
    WEIGHT_MAX,
    accumulate,
    multiplier_for,
    requantise,
)

from .ranges import MIN_SCALE

#: Steps of an accumulator in the bias of a channel, at most: 25 bits enter the multiplier.
BIAS_STEPS = 2.0**23
#: Largest ratio of a step of the sums to a step of the results, see ``multiplier_for``.
MULTIPLIER_LIMIT = MULTIPLIER_MAX / 2

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
    x, w = (_floored(v, 1e-5) for v in (x_peak, w_peak))
    return np.asarray(x**alpha / w ** (1.0 - alpha), np.float64)


def _floored(x: Float, share: float) -> NDArray[np.float64]:
    """Magnitudes `x` with none below `share` of the largest; ones where all are zero."""
    real = np.asarray(x, np.float64)
    most = float(real.max())
    return np.maximum(real, share * most) if most else np.ones_like(real)


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
    input: Scale | None
    output: Scale | None
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
        q = np.clip(nearest(x / scale), -WEIGHT_MAX, WEIGHT_MAX)
        return q.astype(np.int8), np.asarray(scale, np.float64)

    def clipped(self, x: Float) -> tuple[int, float]:
        """How many values of the input [M, K] no integer stands for, and the farthest.

        Returns
        -------
        (values beyond the range of the calibration, largest magnitude of the input over the largest
        that the range holds); (0, 0.0) with a scale for each row, which is found at run time.
        """
        if self.input is None:
            return 0, 0.0
        scaled = x if self.factors is None else x / self.factors
        count = self.input.clipped(scaled)
        if not count:
            return 0, 0.0
        held = max(self.input.high - self.input.zero_point, self.input.zero_point - self.input.low)
        return count, float(np.max(np.abs(scaled)) / (self.input.step * held))

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
    source: Scale | None,
    target: Scale | None,
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
        A sum may not fit int32, for an input within `source`.
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
    w_scale = _weight_scales(w, offset, source)
    q = np.clip(nearest(w / w_scale), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int64)
    q8 = q.astype(np.int8)
    if source is None:
        _check_sums(name, WEIGHT_MAX * np.abs(q).sum(axis=0))
        return QuantisedLinear(
            name=name,
            graph=linear_layer(name, q8, np.zeros(n, np.int32)),
            input=None,
            output=None,
            acc_scale=w_scale,
            factors=factors,
            float_bias=offset,
        )
    acc_scale = source.step * w_scale
    q_bias = nearest(offset / acc_scale) - source.zero_point * q.sum(axis=0)
    least, most = (
        q_bias + np.minimum(q * source.low, q * source.high).sum(axis=0),
        q_bias + np.maximum(q * source.low, q * source.high).sum(axis=0),
    )
    _check_sums(name, np.maximum(np.maximum(-least, most), np.abs(q_bias)))
    requant = None
    if target is not None:
        used = np.any(q, axis=0) | (offset != 0)
        # The multiplier holds so many steps of the result in a step of the sums, and no more.
        finest = float(np.max(acc_scale[used], initial=0.0)) / MULTIPLIER_LIMIT
        target = replace(target, step=max(target.step, finest))
        ratio = np.where(used, acc_scale / target.step, 0.0)
        pre = _pre_shift(q, q_bias, ratio, target)
        multiplier, shift = multiplier_for(ratio, pre)
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


def _weight_scales(
    w: NDArray[np.float64], offset: NDArray[np.float64], source: Scale | None
) -> NDArray[np.float64]:
    """Scales [N] of the weights [K, N]: as fine as 127 steps allow, and as the bias allows.

    A channel whose weights are tiny, or zero, beside its bias takes a coarser scale, in which the
    bias is BIAS_STEPS steps of an accumulator; what its weights add is below the bias's own step.
    """
    peak = np.max(np.abs(w), axis=0)
    scale = np.maximum(peak / WEIGHT_MAX, MIN_SCALE)
    if source is not None:
        scale = np.maximum(scale, np.abs(offset) / (source.step * BIAS_STEPS))
    return np.where((peak == 0) & (offset == 0), 1.0, scale)


def _check_sums(name: str, reach: NDArray[Any]) -> None:
    """Refuse a layer with a sum that int32 may not hold; `reach` [N] bounds their magnitudes."""
    worst = int(np.argmax(reach))
    if reach[worst] > ACC_MAX:
        raise Unsupported(
            f"layer {name!r}: sums of channel {worst} can reach {float(reach[worst]):.3g}, beyond "
            f"the {ACC_MAX} of int32",
            f"divide its inputs among several layers, or keep it in float: keep_float=[{name!r}]",
        )


def _pre_shift(
    q: NDArray[np.int64], bias: NDArray[np.float64], ratio: NDArray[np.float64], target: Scale
) -> int:
    """Smallest shift by which no accumulator is saturated that would not be clamped anyway."""
    reach = np.abs(bias) + 128.0 * np.abs(q).sum(axis=0)  # no accumulator is larger
    span = max(target.high - target.zero_point, target.zero_point - target.low) + 1
    visible = np.divide(span, ratio, out=np.zeros_like(ratio), where=ratio > 0)
    needed = float(np.max(np.minimum(reach, visible)))
    limit = 2 ** (SAT_BITS - 1) - 1
    return next((p for p in range(PRE_MAX) if needed / 2**p <= limit), PRE_MAX)


def signal_to_noise_db(want: Float, got: Float) -> float:
    """``10 log10(sum want^2 / sum (got - want)^2)``; infinity where they are equal."""
    noise = float(np.sum((np.asarray(got, np.float64) - want) ** 2))
    signal = float(np.sum(np.asarray(want, np.float64) ** 2))
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))
