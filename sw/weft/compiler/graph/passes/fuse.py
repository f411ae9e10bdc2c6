"""Operators on reals between int8 become operators on int8, which round once.

``int8 -> reals -> convolution [-> + reals of int8] [-> clamp] -> int8`` is one step of the
accelerator, and so are sums, pools and pointwise functions. What cannot be one stays as it is, and
runs on the host: the reason is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.network import Network, Operator, Value
from weft.compiler.graph.ops import PART_CHANNELS
from weft.compiler.graph.scale import Scale
from weft.errors import UsageError
from weft.host.operators import POINTWISE
from weft_hw.numerics import TABLE_SIZE, WEIGHT_MIN

from .rewriting import integer_source, scale_of

__all__ = ["fuse", "table_of"]

#: What an operator is called with, and gives up with.
_Found = list[Operator] | str
_PLAIN = {"stride": [1, 1], "padding": [0] * 4, "dilation": [1, 1], "groups": 1}


def table_of(op: Operator, source: Scale, target: Scale) -> NDArray[np.int8]:
    """int8 [256] of a pointwise function: entry i belongs to the int8 whose byte is i."""
    q = np.arange(TABLE_SIZE).astype(np.uint8).view(np.int8)
    real = POINTWISE[op.op](source.real(q), **op.attributes)
    return target.quantise(real).astype(np.int8)


@dataclass
class _Fusing:
    network: Network
    refused: Mapping[str, str]
    #: Name of an operator that stays -> why.
    reasons: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)

    def step(self, quantise: Operator) -> list[Operator]:
        """What takes the place of a quantisation and all that it ends."""
        net, scale = self.network, scale_of(self.network, quantise.output)
        low, high = scale.low, scale.high
        at = quantise.inputs[0]
        names = []
        core = net.sole_producer(at)
        while core is not None and core.op == "clamp":
            bounds = core.attributes["low"], core.attributes["high"]
            low = low if bounds[0] is None else max(low, int(scale.quantise(bounds[0])))
            high = high if bounds[1] is None else min(high, int(scale.quantise(bounds[1])))
            names.append(core.name)
            at = core.inputs[0]
            core = net.sole_producer(at)
        clamp = {"low": min(low, high), "high": high}
        source = integer_source(net, at)
        found: _Found
        if source is not None:
            name = names[-1] if names else quantise.name
            found = self._rescale(name, source, quantise.output, clamp)
        elif core is None:
            return [quantise]
        else:
            found = self._core(core, quantise.output, clamp)
        if isinstance(found, str):
            assert core is not None
            self.reasons[core.name] = found
            return [quantise]
        *before, last = found
        fused = [n for n in (*last.attributes.get("fused", ()), *reversed(names)) if n != last.name]
        return [*before, replace(last, attributes={**last.attributes, "fused": fused})]

    def _core(self, op: Operator, output: str, clamp: dict[str, int]) -> _Found:
        if op.name in self.refused:
            return self.refused[op.name]
        make = {
            "conv2d": self._product, "linear": self._product, "add": self._add,
            "avg_pool2d": self._average, "mean": self._average, "max_pool2d": self._maximum,
            "concat": self._join,
        }.get(op.op)  # fmt: skip
        if make is None and op.op in POINTWISE:
            make = self._table
        if make is None:
            return "the accelerator has no such operator"
        try:
            maps = [self.network.values[name].map for name in (*op.inputs, output)]
        except UsageError as error:
            return error.message
        return make(op, output, clamp) if maps else "it has no input"

    def _ints(self, op: Operator) -> list[str | None]:
        return [integer_source(self.network, name) for name in op.inputs]

    def _rescale(self, name: str, source: str, output: str, clamp: dict[str, int]) -> _Found:
        return [Operator(name, "rescale", (source,), output, clamp, on_chip=True)]

    def _product(
        self, op: Operator, output: str, clamp: dict[str, int], residual: str = ""
    ) -> _Found:
        (source,) = self._ints(op)
        if source is None:
            return "its input stays in float"
        q = op.constants.get("integers")
        if q is None:
            return "its weights stay in float"
        if q.size and q.min() < WEIGHT_MIN:
            return f"a weight of {q.min()}: the array multiplies {WEIGHT_MIN} and above"
        attributes = dict(op.attributes) if op.op == "conv2d" else dict(_PLAIN)
        kind = "conv2d"
        if op.op == "linear":
            q = q[:, :, None, None]
        channels, groups = self.network.values[source].map[2], attributes.pop("groups")
        if groups != 1:
            if not groups == channels == q.shape[0]:
                return (
                    f"{groups} groups of {channels} channels: the accelerator has one group, or "
                    "one for each channel"
                )
            kind = "depthwise"
        constants = {"weights": q, "steps": op.constants["steps"]}
        bias = op.constants.get("bias")
        constants["bias"] = np.zeros(len(q)) if bias is None else bias.astype(np.float64)
        if not all(np.isfinite(c).all() for c in constants.values()):
            return "its weights or bias hold NaN or infinity"
        inputs = (source, residual) if residual else (source,)
        return [
            Operator(op.name, kind, inputs, output, attributes | clamp, constants, on_chip=True)
        ]

    def _add(self, op: Operator, output: str, clamp: dict[str, int]) -> _Found:
        net = self.network
        if len({net.values[name].shape for name in (*op.inputs, output)}) != 1:
            return "its summands have different shapes"
        a, b = self._ints(op)
        if a is not None and b is not None:
            return [Operator(op.name, "add", (a, b), output, clamp, on_chip=True)]
        for name, other in ((op.inputs[0], b), (op.inputs[1], a)):
            core = net.sole_producer(name)
            if other is None or core is None or core.op not in ("conv2d", "linear"):
                continue
            if core.name in self.refused:
                return f"{core.name}, which it adds to, runs on the host"
            found = self._product(core, output, clamp, residual=other)
            if isinstance(found, str):
                self.reasons[core.name] = found
                return f"{core.name}, which it adds to, runs on the host"
            (made,) = found
            return [replace(made, attributes={**made.attributes, "fused": [op.name]})]
        return "a summand stays in float"

    def _average(self, op: Operator, output: str, clamp: dict[str, int]) -> _Found:
        (source,) = self._ints(op)
        if source is None:
            return "its input stays in float"
        high, wide, _ = self.network.values[source].map
        given = op.attributes
        if op.op == "mean":
            if given["axes"] != [2, 3]:
                return f"a mean over axes {given['axes']}: the accelerator has that of a map"
            window = {"kernel": [high, wide], "stride": [1, 1], "padding": [0] * 4}
        else:
            if any(given["padding"]) and not given["border_counts"]:
                return "an average that does not count its border"
            if given["ceil"] and not _fits(given, high, wide):
                return "an average over parts of windows (ceil_mode)"
            window = {key: given[key] for key in ("kernel", "stride", "padding")}
        attributes = {**window, "dilation": [1, 1], **clamp}
        return [Operator(op.name, "avg_pool", (source,), output, attributes, on_chip=True)]

    def _maximum(self, op: Operator, output: str, clamp: dict[str, int]) -> _Found:
        (source,) = self._ints(op)
        if source is None:
            return "its input stays in float"
        net, given = self.network, op.attributes
        high, wide, _ = net.values[source].map
        padding = list(given["padding"])
        if given["ceil"] and not _fits(given, high, wide):
            # Windows that begin in the map: more border, which is below everything.
            out_high, out_wide, _ = net.values[output].map
            for at, (size, out) in enumerate(((high, out_high), (wide, out_wide))):
                reach = given["dilation"][at] * (given["kernel"][at] - 1) + 1
                need = (out - 1) * given["stride"][at] + reach - size - padding[2 * at]
                padding[2 * at + 1] = max(need, 0)
        attributes = {k: given[k] for k in ("kernel", "stride", "dilation")} | {"padding": padding}
        pool = Operator(op.name, "max_pool", (source,), output, attributes, on_chip=True)
        return self._as_it_is(pool, scale_of(net, source), clamp)

    def _join(self, op: Operator, output: str, clamp: dict[str, int]) -> _Found:
        net, sources = self.network, [s for s in self._ints(op) if s is not None]
        if len(sources) != len(op.inputs):
            return "a part stays in float"
        scales = {scale_of(net, name) for name in sources}
        if len(scales) != 1:
            return "its parts have different scales"
        if len(net.values[output].shape) != 4 or op.attributes["axis"] != 1:
            return f"a join along axis {op.attributes['axis']}: maps are joined along channels"
        odd = [c for c in (net.values[s].map[2] for s in sources[:-1]) if c % PART_CHANNELS]
        if odd:
            return (
                f"a part of {odd[0]} channels: each but the last needs a multiple of "
                f"{PART_CHANNELS}"
            )
        whole = Operator(op.name, "concat", tuple(sources), output, on_chip=True)
        return self._as_it_is(whole, scales.pop(), clamp)

    def _as_it_is(self, op: Operator, before: Scale, clamp: dict[str, int]) -> _Found:
        """An operator whose results have the scale of its input, and what rounds them anew."""
        after = scale_of(self.network, op.output)
        if before == after and (clamp["low"], clamp["high"]) == (after.low, after.high):
            return [op]
        between = Value(f"{op.output}.before", self.network.values[op.output].shape, before)
        self.values[between.name] = between
        scaled = self._rescale(f"{op.name}.scale", between.name, op.output, clamp)
        assert not isinstance(scaled, str)
        return [replace(op, output=between.name), *scaled]

    def _table(self, op: Operator, output: str, clamp: dict[str, int]) -> _Found:
        (source,) = self._ints(op)
        if source is None:
            return "its input stays in float"
        table = table_of(op, scale_of(self.network, source), scale_of(self.network, output))
        table = np.clip(table, clamp["low"], clamp["high"]).astype(np.int8)
        return [
            Operator(op.name, "table", (source,), output, {"function": op.op},
                     {"table": table}, on_chip=True)
        ]  # fmt: skip


def _fits(given: Mapping[str, Any], high: int, wide: int) -> bool:
    """Whether whole windows cover the map, so that rounding up and down are the same."""
    dilation = given.get("dilation", [1, 1])
    for at, size in enumerate((high, wide)):
        reach = dilation[at] * (given["kernel"][at] - 1) + 1
        span = size + given["padding"][2 * at] + given["padding"][2 * at + 1] - reach
        if span % given["stride"][at]:
            return False
    return True


def fuse(
    network: Network, refused: Mapping[str, str] | None = None
) -> tuple[Network, dict[str, str]]:
    """`network` with all that the accelerator can run on chip.

    Parameters
    ----------
    refused : name of an operator that must stay on the host -> why

    Returns
    -------
    (network, name of each operator on reals that might have been on chip -> why it is not)
    """
    work = _Fusing(network, refused or {})
    operators: list[Operator] = []
    for op in network.operators:
        operators += work.step(op) if op.op == "quantise" else [op]
    values = {**network.values, **work.values}
    fused = replace(network, values=values).pruned(operators).verify()
    return fused, {op.name: work.reasons[op.name] for op in fused.operators
                   if op.name in work.reasons}  # fmt: skip
