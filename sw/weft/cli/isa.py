"""``weft isa``: the instruction set reference, from the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from weft.results import Count, Rule
from weft_hw.isa import LAYOUTS, OPCODE_UNITS, Field, Unit
from weft_hw.registers import REGISTERS

from .options import Json
from .output import print_json

__all__ = ["OpcodeEntry", "command"]


@dataclass(frozen=True)
class OpcodeEntry:
    """An opcode with its unit and fields."""

    opcode: str
    number: Count
    unit: Annotated[str, Rule(enum=[unit.name.lower() for unit in Unit])]
    fields: list[Field]


def command(
    registers: Annotated[bool, Option("--registers", help="The register map instead.")] = False,
    json: Json = False,
) -> None:
    """Print the instruction set reference: bit fields, semantics, errors."""
    from weft_hw import docgen

    if not json:
        print(docgen.registers_page() if registers else docgen.isa_page(), end="")
    elif registers:
        print_json("registers", sorted(REGISTERS.values(), key=lambda r: r.offset))
    else:
        opcodes = [
            OpcodeEntry(opcode.name, int(opcode), OPCODE_UNITS[opcode].name.lower(), list(layout))
            for opcode, layout in LAYOUTS.items()
        ]
        print_json("isa", opcodes)
