"""Registers that are repeated, so that none of them has to reach far."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, ValueLike

__all__ = ["KEEP", "MAX_ENABLES", "repeated"]

#: Loads that an enable, or a reset, may have.
MAX_ENABLES = 200
#: Attributes of a register that tools leave apart from its equals; ``verilog.emit`` hands them on.
KEEP = {"keep": "true"}


def repeated(
    m: Module, value: ValueLike, number: int, *, name: str, init: int | None = None
) -> list[Value]:
    """`number` registers of `value`, each a signal of its own: one for every region.

    With `init` they have this value in reset, without it they go on.
    """
    copies = []
    for i in range(number):
        copy = Signal.like(
            Value.cast(value), name=f"{name}{i}", attrs=KEEP, init=init or 0,
            reset_less=init is None,
        )
        m.d.sync += copy.eq(value)
        copies.append(copy)
    return list(copies)
