"""``weft asm``: instructions from text to bytes."""

from __future__ import annotations

from pathlib import Path

import typer

from .output import find_preset, print_json

__all__ = ["command"]


def command(
    source: Path = typer.Argument(help="Assembly text, as weft disasm prints it."),
    output: Path = typer.Option(..., "-o", "--output", help="File of 64-byte instructions."),
    preset: str = typer.Option("", "--preset", help="Check the fields against this preset."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Assemble text into instructions."""
    from weft.errors import Unsupported
    from weft.program.asm import assemble
    from weft_hw.isa import InstructionError, Opcode, ResultType, check, encode_program

    from .files import read_text, write_bytes

    config = find_preset(preset) if preset else None
    program = list(assemble(read_text(source)))
    if config:
        kind = ResultType.INT8
        for index, instruction in enumerate(program):
            try:
                check(instruction, config, kind)
            except InstructionError as error:
                raise Unsupported(
                    f"instruction {index}: {error}", f"correct it, or choose another than {preset}"
                ) from None
            if instruction.opcode is Opcode.SETUP:
                kind = ResultType(instruction["result_type"])
    raw = encode_program(program)
    write_bytes(output, raw)
    if json:
        result = {"path": str(output), "instructions": len(program), "bytes": len(raw)}
        print_json("asm", [result], config=config)
    else:
        print(f"{output}: {len(program)} instructions, {len(raw)} bytes")
