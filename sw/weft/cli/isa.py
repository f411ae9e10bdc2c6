"""``weft isa``: the instruction set reference, from the contract."""

from __future__ import annotations

import typer

from .output import print_json

__all__ = ["command"]


def command(
    registers: bool = typer.Option(False, "--registers", help="The register map instead."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the instruction set reference: bit fields, semantics, errors."""
    from weft import reference
    from weft_hw import docgen

    if json:
        name = "registers" if registers else "isa"
        rows = reference.register_rows() if registers else reference.instruction_rows()
        print_json(name, rows)
    else:
        print(docgen.registers_page() if registers else docgen.isa_page(), end="")
