"""Instruction words in gateware: fields as slices, at the bits that ``isa`` gives them."""

from __future__ import annotations

from amaranth.hdl import Value, ValueLike

from .isa import INSTRUCTION_BYTES, LAYOUTS, LOOP_LEVELS, Opcode

__all__ = ["INSTRUCTION_BITS", "field", "vector"]

INSTRUCTION_BITS = INSTRUCTION_BYTES * 8


def field(word: ValueLike, opcode: Opcode, name: str) -> Value:
    """Slice of a 512-bit instruction `word` that holds field `name`; signed where the field is."""
    f = LAYOUTS[opcode][name]
    bits = Value.cast(word)[f.offset : f.offset + f.width]
    return bits.as_signed() if f.signed else bits


def vector(word: ValueLike, opcode: Opcode, name: str) -> list[Value | None]:
    """Per loop level the slice of field `name` + level; None where the level has no such field."""
    layout = LAYOUTS[opcode]
    return [
        field(word, opcode, f"{name}{i}") if f"{name}{i}" in layout else None
        for i in range(LOOP_LEVELS)
    ]
