"""``weft disasm``: instructions from bytes to text."""

from __future__ import annotations

from pathlib import Path

import typer

from .output import print_json

__all__ = ["command"]


def command(
    source: Path = typer.Argument(help="A program file, or a file of 64-byte instructions."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the instructions of a program as text."""
    from weft.errors import ProgramFileError
    from weft.program import MAGIC, Program
    from weft.program.asm import disassemble
    from weft_hw.isa import InstructionError, decode_program

    from .files import read_bytes

    raw = read_bytes(source)
    config = None
    if raw.startswith(MAGIC):
        loaded = Program.from_bytes(raw, source=str(source))
        config, instructions = loaded.config, list(loaded.instructions)
    else:
        try:
            instructions = decode_program(raw)
        except InstructionError as error:
            raise ProgramFileError(
                f"{source} holds no program: {error}", "name a file that weft asm has written"
            ) from None
    if not json:
        print(disassemble(instructions), end="")
        return
    results = [
        {
            "index": index,
            "opcode": i.opcode.name,
            "unit": i.unit.name.lower(),
            "waits": list(i.waits),
            "posts": list(i.posts),
            "fields": dict(i.fields),
        }
        for index, i in enumerate(instructions)
    ]
    print_json("disasm", results, config=config)
