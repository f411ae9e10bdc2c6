"""Where each field of each opcode stands: bit positions follow from the order of the fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .opcodes import INSTRUCTION_BYTES, LOOP_LEVELS, POSTS, SUBSTEPS, WAITS, Opcode

__all__ = ["LAYOUTS", "Field", "Layout"]


@dataclass(frozen=True)
class Field:
    """`width` bits at bit `offset`."""

    name: str
    width: int
    doc: str
    signed: bool = False
    offset: int = -1

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.width - self.signed)) - 1


class Layout:
    """Fields of one opcode, at their bits. Iterates over :class:`Field`."""

    def __init__(self, fields: list[Field]):
        offset = 0
        self.fields: dict[str, Field] = {}
        for f in fields:
            self.fields[f.name] = Field(f.name, f.width, f.doc, f.signed, offset)
            offset += f.width
        #: First bit that no field owns; from here on all bits must be zero.
        self.used_bits = offset
        if offset > INSTRUCTION_BYTES * 8:
            raise AssertionError(f"layout has {offset} bits")

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields.values())

    def __getitem__(self, name: str) -> Field:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields


def _header() -> list[Field]:
    fields = [Field("opcode", 8, "operation")]
    for i in range(WAITS):
        fields.append(Field(f"wait{i}_enable", 1, f"wait {i} is used"))
        fields.append(Field(f"wait{i}", 4, f"semaphore of wait {i}: less one before the start"))
    for i in range(POSTS):
        fields.append(Field(f"post{i}_enable", 1, f"post {i} is used"))
        fields.append(Field(f"post{i}", 4, f"semaphore of post {i}: raised, by one, at completion"))
    fields.append(Field("header_reserved", 7, "zero"))
    return fields


def _levels(name: str, width: int, doc: str, first: int = 0, signed: bool = True) -> list[Field]:
    return [
        Field(f"{name}{i}", width, doc.format(i=i), signed) for i in range(first, LOOP_LEVELS)
    ]


def _transfer(spaces: str) -> list[Field]:
    return [
        Field("space", 3, spaces),
        Field("dram_offset", 32, "byte offset into the arena of the first row; multiple of 16"),
        Field("dram_pitch", 32, "bytes from one row to the next in the arena; multiple of 16"),
        Field("rows", 16, "rows, >= 1"),
        Field("bytes", 24, "bytes of a row, >= 16; multiple of 16"),
        Field("chip_address", 20, "first word on chip, in 4-byte words; multiple of a bus beat"),
        Field("chip_pitch", 20, "words from one row to the next on chip; multiple of a bus beat"),
    ]


_LAYOUTS: dict[Opcode, Layout] = {
    Opcode.END: Layout(_header()),
    Opcode.LOAD: Layout(
        _header()
        + _transfer("0 scratchpad, 1 weights, 2 parameters, 3 tables, 4 taps")
        + [
            Field("fill", 1, "read nothing: every byte is fill_value"),
            Field("fill_value", 8, "what a fill writes", True),
        ]
    ),
    Opcode.STORE: Layout(_header() + _transfer("0 scratchpad; others are illegal")),
    Opcode.SETUP: Layout(
        _header()
        + [
            Field("result_type", 2, "0 int8, 1 int16, 2 int32 (raw accumulators)"),
            Field("pre", 3, "right shift of the accumulator before saturation to 25 bits"),
            Field("zero_point", 16, "added after the scaling", True),
            Field("low", 16, "lower clamp bound", True),
            Field("high", 16, "upper clamp bound", True),
            Field("table_enable", 1, "int8 only: replace the result by a table entry"),
            Field("table", 4, "which table"),
            Field("per_row", 1, "reserved for scales per row; must be 0"),
        ]
        + _levels("result_jump", 20, "words added to the result address when level {i} steps")
        + _levels(
            "parameter_jump", 13, "pairs added to the parameter address when level {i} steps", 1
        )
        + [
            Field("maximum", 1, "keep the larger of sum and accumulator instead of adding them"),
            Field("residual", 1, "int8 only: add what stands at the result address"),
            Field("residual_zero_point", 8, "subtracted from it", True),
            Field("residual_multiplier", 17, "scales it, with the shift of its column"),
        ]
    ),
    Opcode.MATMUL: Layout(
        _header()
        + _levels("count", 16, "iterations of level {i}, >= 1; 0 is innermost", signed=False)
        + [
            Field("tile_levels", 3, "innermost levels that stream rows past one tile, 1..5"),
            Field("reduction", 6, "bit i: level i runs along K; zero below tile_levels"),
            Field("first", 1, "start from the bias where all reduction levels start"),
            Field("last", 1, "emit results where all reduction levels are at their end"),
            Field("transposed", 1, "reserved for a transposed tile load; must be 0"),
            Field("act_address", 20, "first word of the activations"),
            Field("weight_address", 14, "first weight buffer word"),
            Field("acc_address", 12, "first accumulator row"),
            Field("result_address", 20, "first result row, in words"),
            Field("parameter_address", 12, "first parameter pair (two entries of 8 bytes)"),
        ]
        + _levels("act_jump", 20, "words added to the activation address when level {i} steps")
        + _levels("weight_jump", 15, "words added to the weight address as level {i} steps", 1)
        + _levels("acc_jump", 13, "rows added to the accumulator address when level {i} steps")
    ),
    Opcode.DEPTHWISE: Layout(
        _header()
        + _levels("count", 16, "iterations of level {i}, >= 1; 0 is innermost", signed=False)
        + [
            Field("fire", SUBSTEPS, "bit i: iteration i of level 0 multiplies"),
            Field("skip", 4, "first iterations of level 2 that read only; below count2"),
            Field("delay1", 6, "reads from tap 1 to tap 0, 1..32"),
            Field("delay2", 6, "reads from tap 2 to tap 1, 1..32"),
            Field("act_address", 20, "first word of the activations; multiple of a line"),
            Field("result_address", 20, "first result line, in words; multiple of a line"),
            Field("tap_address", 12, "first word of the first block of taps"),
        ]
        + _levels("act_jump", 20, "words added to the activation address when level {i} steps")
        + _levels("result_jump", 20, "words added to the result address as level {i} steps", 2)
        + _levels("tap_jump", 13, "words added to the tap address when level {i} steps", 4)
        + [
            Field("pre", 3, "right shift of the sum before saturation to 25 bits"),
            Field("zero_point", 8, "added after the scaling", True),
            Field("low", 8, "lower clamp bound", True),
            Field("high", 8, "upper clamp bound", True),
            Field("table_enable", 1, "replace the result by a table entry"),
            Field("table", 4, "which table"),
        ]
    ),
}

#: The fields of each opcode.
LAYOUTS: Mapping[Opcode, Layout] = MappingProxyType(_LAYOUTS)
