"""``weft isa``: the instruction set reference, from the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from weft.results import Count, Positive, Rule
from weft_hw.isa import LAYOUTS, OPCODE_UNITS, Unit
from weft_hw.registers import REGISTERS, Access

from .options import Json
from .output import print_json

__all__ = ["FieldEntry", "OpcodeEntry", "RegisterEntry", "command"]


@dataclass(frozen=True)
class FieldEntry:
    """A field at its bits."""

    name: str
    offset: Count
    width: Positive
    signed: bool
    doc: str


@dataclass(frozen=True)
class OpcodeEntry:
    """An opcode with its unit and fields."""

    opcode: str
    number: Count
    unit: Annotated[str, Rule(enum=[unit.name.lower() for unit in Unit])]
    fields: list[FieldEntry]


@dataclass(frozen=True)
class RegisterEntry:
    """A register, in order of offset."""

    name: str
    offset: Count
    access: Access
    width: Annotated[int, Rule(minimum=1, maximum=32)]
    doc: str


def command(
    registers: Annotated[
        bool, typer.Option("--registers", help="The register map instead.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the instruction set reference: bit fields, semantics, errors."""
    from weft_hw import docgen

    if not json:
        print(docgen.registers_page() if registers else docgen.isa_page(), end="")
    elif registers:
        ordered = sorted(REGISTERS.values(), key=lambda r: r.offset)
        entries = [RegisterEntry(r.name, r.offset, r.access, r.width, r.doc) for r in ordered]
        print_json("registers", entries)
    else:
        opcodes = [
            OpcodeEntry(
                opcode.name,
                int(opcode),
                OPCODE_UNITS[opcode].name.lower(),
                [FieldEntry(f.name, f.offset, f.width, f.signed, f.doc) for f in layout],
            )
            for opcode, layout in LAYOUTS.items()
        ]
        print_json("isa", opcodes)
