"""The operators on chip of a network as a graph of integers: scales become multipliers.

numpy only. Each result is ``clamp(zero_point + round(sum * scale of a sum / scale of a
result))``; zero points of inputs are part of the bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.build import Builder
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.network import Network, Operator
from weft.compiler.graph.ops import ADD_WEIGHT
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.scale import Scale, nearest
from weft.compiler.graph.window import Window
from weft.errors import Unsupported
from weft_hw.numerics import (
    ACC_MAX,
    MULTIPLIER_MAX,
    PRE_MAX,
    RESIDUAL_SHIFT,
    SAT_BITS,
    SHIFT_MAX,
    SHIFT_MIN,
    multiplier_for,
)

__all__ = ["Border", "IntegerSegment", "integer_segment"]

#: (top, bottom, left, right) pixels around an input that the host writes, and their value.
Border = tuple[int, int, int, int, int]
_NO_BORDER: Border = (0, 0, 0, 0, 0)
#: Channels of a map that lies on the bus a word a pixel; its lines are words, too.
_NARROW = 4


@dataclass(frozen=True, eq=False)
class IntegerSegment:
    """A graph, and what it calls the values of the network.

    Parameters
    ----------
    graph : Graph
    inputs : tensor -> value; a value may be several tensors, with different borders.
    outputs : value -> tensor
    borders : tensor -> what the host adds around an input
    """

    graph: Graph
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    borders: Mapping[str, Border]


def _scales(
    name: str,
    ratio: NDArray[np.float64],
    reach: NDArray[np.float64],
    target: Scale,
    residual: float | None,
) -> dict[str, Any]:
    """Multipliers and shifts.

    Parameters
    ----------
    ratio : float64 [N], steps of the result in a step of the sums
    reach : float64 [N], largest magnitude of a sum
    residual : steps of the result in a step of what is added; None where nothing is.

    Raises
    ------
    Unsupported
        A step of the sums is too large, or too small, beside one of the results.
    """
    # Smallest shift by which no sum is saturated that would not be clamped anyway.
    span = max(target.high - target.zero_point, target.zero_point - target.low) + 1
    visible = np.divide(span, ratio, out=np.full_like(ratio, np.inf), where=ratio > 0)
    if residual is not None:
        visible = np.full_like(ratio, np.inf)
    needed = float(np.max(np.minimum(reach, visible)))
    limit = 2 ** (SAT_BITS - 1) - 1
    pre = next((p for p in range(PRE_MAX + 1) if needed / 2**p <= limit), None)
    if pre is None:
        raise Unsupported(
            f"layer {name!r}: sums reach {needed:.3g}, of which {SAT_BITS + PRE_MAX} bits count",
            f"keep it in float: keep_float=[{name!r}]",
        )
    try:
        multiplier, shift = multiplier_for(ratio, pre)
    except ValueError:
        raise Unsupported(
            f"layer {name!r}: a step of its sums is {float(ratio.max()):.3g} steps of its results",
            f"keep it in float: keep_float=[{name!r}]",
        ) from None
    if residual is None:
        return {"multiplier": multiplier, "shift": shift, "pre": pre}
    # One shift for all channels, in which the largest of all multipliers fits.
    real = ratio * 2.0**pre
    most = max(float(real.max(initial=0.0)), residual / 2**RESIDUAL_SHIFT)
    common = min(SHIFT_MAX, math.floor(math.log2((MULTIPLIER_MAX + 0.49) / most)))
    own = round(residual * 2.0 ** (common - RESIDUAL_SHIFT)) if common >= SHIFT_MIN else 0
    if not own:
        raise Unsupported(
            f"layer {name!r}: {most:.3g} steps of its results are a step of what is added",
            f"keep it in float: keep_float=[{name!r}]",
        )
    multiplier = nearest(real * 2.0**common).astype(np.int64)
    return {
        "multiplier": multiplier,
        "shift": np.full(len(ratio), common),
        "pre": pre,
        "residual_multiplier": own,
    }


class _Lowering:
    def __init__(self, network: Network, operators: Sequence[Operator]) -> None:
        self.network, self.operators = network, operators
        self.make = Builder()
        #: Value -> tensor, of what the operators compute.
        self.at: dict[str, str] = {}
        #: (value, border) -> tensor, of what comes from outside.
        self.inputs: dict[tuple[str, Border], str] = {}
        self.outputs: set[str] = set()
        #: Values that consist of parts: no parts themselves.
        self.wholes: set[str] = set()

    def scale(self, name: str) -> Scale:
        found = self.network.values[name].scale
        assert found is not None
        return found

    def run(self, outputs: Sequence[str]) -> IntegerSegment:
        self.outputs = {*outputs}
        for op in self.operators:
            self.at[op.output] = _LOWER[op.op](self, op)
        graph = self.make.build(*(self.at[name] for name in outputs))
        return IntegerSegment(
            graph,
            {tensor: name for (name, _), tensor in self.inputs.items()},
            {name: self.at[name] for name in outputs},
            {tensor: border for (_, border), tensor in self.inputs.items() if any(border[:4])},
        )

    def _tensor(self, name: str, border: Border = _NO_BORDER) -> str:
        """The tensor of a value; one for each border that the host writes around it."""
        if name in self.at:
            return self.at[name]
        key = (name, border)
        if key not in self.inputs:
            high, wide, channels = self.network.values[name].map
            top, bottom, left, right, _ = border
            shape = (high + top + bottom, wide + left + right, channels)
            self.inputs[key] = self.make.input(f"input{len(self.inputs)}", shape)
        return self.inputs[key]

    def _border_of(self, op: Operator) -> Border:
        """The border that an operator's input of few channels gets as data.

        Pixels of four bytes lie close; unless a line is whole words, a border behind its end can
        only come from outside.
        """
        name = op.inputs[0]
        _, wide, channels = self.network.values[name].map
        padding = tuple(op.attributes.get("padding", (0, 0, 0, 0)))
        if name in self.at or channels > _NARROW or wide % 4 == 0 or not any(padding):
            return _NO_BORDER
        return (*padding, self._border_value(op))

    def _border_value(self, op: Operator) -> int:
        return -128 if op.op == "max_pool" else self.scale(op.inputs[0]).zero_point

    def _source(self, op: Operator, kernel: Sequence[int]) -> tuple[str, Window]:
        """The map that an operator moves over, and how."""
        given, border = op.attributes, self._border_of(op)
        window = Window(
            (kernel[0], kernel[1]),
            tuple(given["stride"]),
            tuple(given["dilation"]),
            (0, 0, 0, 0) if any(border[:4]) else tuple(given["padding"]),
            self._border_value(op),
        )
        return self._tensor(op.inputs[0], border), window

    def _requant(
        self,
        op: Operator,
        ratio: NDArray[np.float64],
        reach: NDArray[np.float64],
        residual: str | None = None,
    ) -> Requant:
        """`ratio`: [N], real size of a step of the sums."""
        given = op.attributes
        target = self.scale(op.output)
        low, high = given["low"], given["high"]
        if "before_table" in given:
            step, zero_point = given["before_table"]
            target = Scale(step, zero_point)
        added = None if residual is None else self.scale(residual).step / target.step
        return Requant(
            **_scales(op.name, ratio / target.step, reach, target, added),
            zero_point=target.zero_point,
            low=low,
            high=high,
            table=op.constants.get("table"),
            residual_zero_point=0 if residual is None else self.scale(residual).zero_point,
        )

    # -- operators --------------------------------------------------------------------------------

    def product(self, op: Operator) -> str:
        """A convolution, dense or of each channel by itself."""
        source = self.scale(op.inputs[0])
        residual = op.inputs[1] if len(op.inputs) > 1 else None
        q = op.constants["weights"].astype(np.int64)
        flat = q.reshape(len(q), -1)
        real = source.step * op.constants["steps"]
        bias = nearest(op.constants["bias"] / real)
        bias = bias - source.zero_point * flat.sum(1)
        # The largest sum of any input, and any part of it.
        reach = np.abs(bias) + np.abs(flat).sum(1) * max(-source.low, source.high)
        if reach.max() > ACC_MAX:
            worst = int(np.argmax(reach))
            raise Unsupported(
                f"layer {op.name!r}: sums of channel {worst} can reach {float(reach[worst]):.3g}, "
                f"beyond the {ACC_MAX} of int32",
                f"keep it in float: keep_float=[{op.name!r}]",
            )
        by = self._requant(op, real, reach, residual)
        kernel = q.shape[2:]
        w = q[:, 0].transpose(1, 2, 0) if op.op == "depthwise" else q.transpose(2, 3, 1, 0)
        x, window = self._source(op, kernel)
        return self.make.convolution(
            op.name,
            x,
            np.ascontiguousarray(w, np.int8),
            bias.astype(np.int32),
            by,
            window=window,
            residual=None if residual is None else self._tensor(residual),
        )

    def average(self, op: Operator) -> str:
        """The mean of each window: a sum whose scale divides it."""
        return self._summed(op, *self._source(op, op.attributes["kernel"]))

    def rescale(self, op: Operator) -> str:
        """The same values in another scale, or clamped."""
        return self._summed(op, self._tensor(op.inputs[0]), Window())

    def _summed(self, op: Operator, x: str, window: Window) -> str:
        source = self.scale(op.inputs[0])
        bias = -window.taps * source.zero_point
        reach = np.array([abs(bias) + 128.0 * window.taps])
        by = self._requant(op, np.array([source.step / window.taps]), reach)
        return self.make.avg_pool(op.name, x, window, by, bias)

    def maximum(self, op: Operator) -> str:
        """The largest of each window; its scale is that of its input."""
        x, window = self._source(op, op.attributes["kernel"])
        return self.make.max_pool(op.name, x, window)

    def add(self, op: Operator) -> str:
        """The sum of two maps."""
        a, b = op.inputs
        source = self.scale(a)
        bias = -ADD_WEIGHT * source.zero_point
        reach = np.array([abs(bias) + 128.0 * ADD_WEIGHT])
        by = self._requant(op, np.array([source.step / ADD_WEIGHT]), reach, b)
        return self.make.add(op.name, self._tensor(a), self._tensor(b), by, bias)

    def concat(self, op: Operator) -> str:
        """Maps beside each other; a part with another reader, or from outside, is copied."""
        parts = []
        for i, name in enumerate(op.inputs):
            readers = [o for o in self.operators if name in o.inputs]
            is_own = name in self.at and name not in self.outputs and len(readers) == 1
            is_part = name in self.wholes
            if is_own and not is_part and op.inputs.count(name) == 1:
                parts.append(self.at[name])
                continue
            same = Requant(np.array([1 << 16]), np.array([16]))
            parts.append(
                self.make.avg_pool(f"{op.name}.copy{i}", self._tensor(name), Window(), same)
            )
        self.wholes.add(op.output)
        return self.make.concat(op.name, *parts)

    def table(self, op: Operator) -> str:
        """Each value looked up."""
        by = Requant(np.array([1 << 16]), np.array([16]), table=op.constants["table"])
        return self.make.avg_pool(op.name, self._tensor(op.inputs[0]), Window(), by)


_LOWER: Mapping[str, Callable[[_Lowering, Operator], str]] = {
    "conv2d": _Lowering.product,
    "depthwise": _Lowering.product,
    "avg_pool": _Lowering.average,
    "rescale": _Lowering.rescale,
    "max_pool": _Lowering.maximum,
    "add": _Lowering.add,
    "table": _Lowering.table,
    "concat": _Lowering.concat,
}


def integer_segment(
    network: Network, operators: Sequence[Operator], outputs: Sequence[str]
) -> IntegerSegment:
    """The graph of operators on chip.

    Parameters
    ----------
    operators : in order; all on chip
    outputs : names of the values that are needed outside

    Raises
    ------
    Unsupported
        The scales of a layer are too far apart, or a sum may not fit int32. The sentence names the
        layer.
    """
    return _Lowering(network, operators).run(outputs)
