"""Fixed delays."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, ValueLike

__all__ = ["delay"]


def delay(m: Module, value: ValueLike, cycles: int, *, name: str, reset: bool = False) -> Value:
    """`value`, `cycles` later.

    Without `reset` the line maps to shift-register LUTs and holds old values through a reset; with
    it, every stage clears, as a line of valid bits has to.
    The line is one wide register, which both Verilator and synthesis treat well.
    """
    value = Value.cast(value)
    if cycles == 0:
        return value
    width = len(value)
    line = Signal(width * cycles, name=name, reset_less=not reset)
    m.d.sync += line.eq(Cat(value, line)[: width * cycles])
    out = line[width * (cycles - 1) :]
    return out.as_signed() if value.shape().signed else out
