"""What a model says: operators on reals, some of which are kept as int8; numpy only.

A front end makes a network, passes turn what the accelerator can run into integer operators, and
what is left runs on the host. Shapes are those of torch with a batch of one: a map is [1, C, H, W].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from weft.errors import UsageError

from .scale import Scale

__all__ = ["BORDERS", "Network", "Operator", "Value"]

#: Operators between reals and integers.
BORDERS = ("quantise", "dequantise")


@dataclass(frozen=True)
class Value:
    """What operators pass on.

    Parameters
    ----------
    name : str
    shape : tuple of int, as in torch
    scale : how its int8 stand for reals; None where it is float32.
    dtype : of a value that is not int8
    """

    name: str
    shape: tuple[int, ...]
    scale: Scale | None = None
    dtype: str = "float32"

    @property
    def map(self) -> tuple[int, int, int]:
        """[H, W, C] of the accelerator: channels last; rows of a matrix are pixels of a line.

        Raises
        ------
        UsageError
            It has no such form: another rank, or a batch.
        """
        if not 2 <= len(self.shape) <= 4 or self.shape[0] != 1:
            raise UsageError(
                f"{list(self.shape)} is no map [1, C, H, W], and no rows [1, T, K] or [1, K]"
            )
        if len(self.shape) == 4:
            _, channels, high, wide = self.shape
            return high, wide, channels
        return 1, (self.shape[1] if len(self.shape) == 3 else 1), self.shape[-1]

    def __str__(self) -> str:
        kind = self.dtype if self.scale is None else f"int8 {self.scale}"
        return f"{self.name}: {list(self.shape)} {kind}"


@dataclass(frozen=True, eq=False)
class Operator:
    """``output = op(*inputs)``.

    Parameters
    ----------
    name : str
        For people: of the layer that it stands for.
    op : str
    inputs : names of values
    output : name of a value
    attributes : values of JSON, by name
    constants : arrays, by name
    on_chip : whether inputs and output are int8, and the accelerator computes it.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    on_chip: bool = False

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={v}" for k, v in self.attributes.items())
        text = f"{self.output} = {self.op}({', '.join(self.inputs)}) {shown}".rstrip()
        return f"{text} [on chip]" if self.on_chip else text


@dataclass(frozen=True, eq=False)
class Network:
    """Operators in an order in which they can run.

    Parameters
    ----------
    values : mapping or iterable of Value
    operators : sequence of Operator; each reads what stands before it.
    inputs, outputs : names of values
    """

    values: Mapping[str, Value]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        given: Iterable[Value] = (
            self.values.values() if isinstance(self.values, Mapping) else self.values
        )
        object.__setattr__(self, "values", MappingProxyType({v.name: v for v in given}))

    def verify(self) -> Network:
        """Refuse a network that breaks a rule; itself, so that calls can be chained.

        Raises
        ------
        UsageError
            The sentence names the operator or the value.
        """
        known, names = {*self.inputs}, set()
        for op in self.operators:
            if op.name in names:
                raise UsageError(f"network: two operators are named {op.name!r}")
            names.add(op.name)
            for name in op.inputs:
                if name not in known:
                    raise UsageError(f"network: {op.name!r} reads {name!r} before it is computed")
            if op.output in known or op.output not in self.values:
                raise UsageError(
                    f"network: {op.name!r} writes {op.output!r}, which is no new value"
                )
            known.add(op.output)
            ends = [self.values[name] for name in (*op.inputs, op.output)]
            if op.on_chip and any(value.scale is None for value in ends):
                raise UsageError(f"network: {op.name!r} on chip has a value that is not int8")
        for name in self.outputs:
            if name not in known:
                raise UsageError(f"network: output {name!r} is not computed")
        return self

    @cached_property
    def producers(self) -> Mapping[str, Operator]:
        """What computes each value."""
        return {op.output: op for op in self.operators}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Operator, ...]]:
        """What reads each value."""
        found: dict[str, tuple[Operator, ...]] = dict.fromkeys(self.values, ())
        for op in self.operators:
            for name in dict.fromkeys(op.inputs):
                found[name] = (*found[name], op)
        return found

    def sole_producer(self, name: str) -> Operator | None:
        """What computes a value that one operator alone reads; None for any other value."""
        if name in self.outputs or len(self.consumers[name]) != 1:
            return None
        return self.producers.get(name)

    def pruned(self, operators: Iterable[Operator]) -> Network:
        """Copy with these operators, without those that no output needs."""
        needed, kept = {*self.outputs}, []
        for op in reversed(tuple(operators)):
            if op.output in needed:
                kept.append(op)
                needed |= {*op.inputs}
        used = {name for op in kept for name in (*op.inputs, op.output)} | {*self.inputs}
        used |= {*self.outputs}
        values = {name: value for name, value in self.values.items() if name in used}
        return replace(self, operators=tuple(reversed(kept)), values=values)

    def __str__(self) -> str:
        lines = [f"network ({', '.join(self.inputs)}) -> {', '.join(self.outputs)}"]
        for op in self.operators:
            lines.append(f"  {op.name}: {op}: {str(self.values[op.output]).partition(': ')[2]}")
        return "\n".join(lines)
