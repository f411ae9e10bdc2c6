"""``weft asm`` and ``weft disasm``: instructions from text to bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from weft.files.outputs import write_file
from weft.results import Count

from .options import Json, OutputFile, Preset, find_preset, read_text
from .output import print_json

__all__ = ["Assembled", "Disassembled", "assemble", "disassemble"]


@dataclass(frozen=True)
class Assembled:
    """The file written."""

    path: Path
    instructions: Count
    bytes: Count


@dataclass(frozen=True)
class Disassembled:
    """An instruction."""

    index: Count
    opcode: str
    unit: str
    waits: list[Count]
    posts: list[Count]
    fields: dict[str, int]


def assemble(
    source: Annotated[Path, typer.Argument(help="Assembly text, as weft disasm prints it.")],
    output: OutputFile,
    preset: Preset = "",
    json: Json = False,
) -> None:
    """Assemble text into 64-byte instructions; --preset checks their fields."""
    from weft.errors import Unsupported
    from weft.program import asm
    from weft_hw.isa import InstructionError, Opcode, ResultType, check, encode_program

    config = find_preset(preset) if preset else None
    program = list(asm.assemble(read_text(source)))
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
    write_file(output, raw)
    if json:
        print_json("asm", [Assembled(output, len(program), len(raw))], config=config)
    else:
        print(f"{output}: {len(program)} instructions, {len(raw)} bytes")


def disassemble(
    source: Annotated[
        Path, typer.Argument(help="A program file, or a file of 64-byte instructions.")
    ],
    json: Json = False,
) -> None:
    """Print the instructions of a program as text."""
    from weft.errors import ProgramFileError
    from weft.program import MAGIC, Program, asm
    from weft_hw.isa import InstructionError, decode_program

    raw = source.read_bytes()
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
        print(asm.disassemble(instructions), end="")
        return
    results = [
        Disassembled(
            index=index,
            opcode=i.opcode.name,
            unit=i.unit.name.lower(),
            waits=list(i.waits),
            posts=list(i.posts),
            fields=dict(i.fields),
        )
        for index, i in enumerate(instructions)
    ]
    print_json("disasm", results, config=config)
