"""Move tensors of a program to buffers of their own, by changing offsets in its transfers.

A remote board transfers whole buffers only. With inputs, outputs and the rest in buffers of their
own, a run moves no weights. Offsets stay relative to one arena, which spans all buffers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.errors import Unsupported
from weft.program import Program, TensorSpec
from weft_hw.isa import Instruction, Opcode

__all__ = ["Section", "relocate", "sections"]


@dataclass(frozen=True)
class Section:
    """Bytes [start, end) of the arena that go to one buffer.

    kind : "input" or "output"; tensors : their names.
    """

    kind: str
    start: int
    end: int
    tensors: tuple[str, ...]


def sections(program: Program) -> list[Section]:
    """Runs of inputs, and of outputs, that lie next to each other in the arena.

    A run that shares bytes with anything else, or that some transfer only partly touches, is left
    out: it stays where it is.
    """
    found: list[Section] = []
    for kind, specs in (("input", program.inputs), ("output", program.outputs)):
        for spec in sorted(specs.values(), key=lambda s: s.offset):
            last = found[-1] if found else None
            if last and last.kind == kind and last.end == spec.offset:
                found[-1] = Section(kind, last.start, spec.end, (*last.tensors, spec.name))
            else:
                found.append(Section(kind, spec.offset, spec.end, (spec.name,)))
    code = (program.program_offset, program.program_offset + 64 * len(program.instructions))
    fixed = [code, *((o, o + len(d)) for o, d in program.constants)]
    spans = [_span(i) for i in program.instructions if i.opcode in (Opcode.LOAD, Opcode.STORE)]

    def movable(section: Section) -> bool:
        others = [(s.start, s.end) for s in found if s is not section]
        clear = all(end <= section.start or section.end <= start for start, end in fixed + others)
        return clear and all(_inside_or_outside(span, section) for span in spans)

    return [section for section in found if movable(section)]


def _span(instruction: Instruction) -> tuple[int, int]:
    start = instruction["dram_offset"]
    rows = instruction["rows"]
    return start, start + (rows - 1) * instruction["dram_pitch"] + instruction["bytes"]


def _inside_or_outside(span: tuple[int, int], section: Section) -> bool:
    start, end = span
    inside = section.start <= start and end <= section.end
    return inside or end <= section.start or section.end <= start


def relocate(
    program: Program, moves: Sequence[tuple[Section, int]], base: int, arena_bytes: int
) -> Program:
    """`program` with each section at its new offset, and everything else `base` bytes further.

    Parameters
    ----------
    moves : (section, new offset of its first byte), offsets multiples of 4096
    base : int
        New offset of the old offset 0; a multiple of 4096.
    arena_bytes : int
        Span of all buffers.

    Raises
    ------
    Unsupported
        The buffers lie further apart than 4 GiB.
    """
    if arena_bytes >= 1 << 32:
        raise Unsupported(
            f"the buffers span {arena_bytes} bytes, an arena has less than 2**32",
            "free memory on the board, or restart it",
        )

    def place(offset: int) -> int:
        for section, start in moves:
            if section.start <= offset < section.end:
                return offset - section.start + start
        return offset + base

    def moved(specs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
        return {n: dataclasses.replace(s, offset=place(s.offset)) for n, s in specs.items()}

    instructions = []
    for instruction in program.instructions:
        if instruction.opcode in (Opcode.LOAD, Opcode.STORE):
            fields = {**instruction.fields, "dram_offset": place(instruction["dram_offset"])}
            instruction = dataclasses.replace(instruction, fields=fields)
        instructions.append(instruction)
    return dataclasses.replace(
        program,
        instructions=instructions,
        program_offset=program.program_offset + base,
        arena_bytes=arena_bytes,
        constants=[(place(offset), data) for offset, data in program.constants],
        inputs=moved(program.inputs),
        outputs=moved(program.outputs),
    )
