"""Move parts of a program to buffers of their own, by changing offsets in its transfers.

A remote board transfers whole buffers only. With inputs, outputs, states and instructions that runs
change in buffers of their own, a run moves no weights. Offsets stay relative to one arena, which
spans all buffers.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.errors import Unsupported
from weft.program import Program, TensorSpec
from weft_hw.isa import INSTRUCTION_BYTES, Opcode

__all__ = ["Section", "relocate", "sections"]


@dataclass(frozen=True)
class Section:
    """Bytes [start, end) of the arena that go to one buffer.

    kind : "input", "output", "state", or "code" for the instructions.
    """

    kind: str
    start: int
    end: int

    def overlaps(self, start: int, end: int) -> bool:
        """Whether a byte of [start, end) is here."""
        return start < self.end and self.start < end


def sections(program: Program) -> list[Section]:
    """Runs of inputs, outputs or states that lie next to each other, and instructions with patches.

    A run that shares bytes with anything else, or that some transfer only partly touches, is left
    out: it stays where it is.
    """
    found: list[Section] = []
    kinds = {"input": program.inputs, "output": program.outputs, "state": program.states}
    for kind, specs in kinds.items():
        for spec in sorted(specs.values(), key=lambda s: s.offset):
            last = found[-1] if found else None
            if last and last.kind == kind and last.end == spec.offset:
                found[-1] = Section(kind, last.start, spec.end)
            else:
                found.append(Section(kind, spec.offset, spec.end))
    if program.patches:
        size = INSTRUCTION_BYTES * len(program.instructions)
        found.append(Section("code", program.program_offset, program.program_offset + size))
    spans = _spans(program)
    return [
        section
        for section in found
        if not any(section.overlaps(s.start, s.end) for s in found if s is not section)
        and all(
            section.start <= start and end <= section.end or not section.overlaps(start, end)
            for start, end in spans
        )
    ]


def _spans(program: Program) -> set[tuple[int, int]]:
    """Bytes [start, end) of each transfer: as it stands, and as patches can make it."""
    changes: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for patch in program.patches.values():
        for index, name, step in patch.sites:
            ends = patch.low * step, patch.high * step, 0
            changes[index, name][0] += min(ends)
            changes[index, name][1] += max(ends)
    spans = set()
    for index, instruction in enumerate(program.instructions):
        if instruction.opcode in (Opcode.LOAD, Opcode.STORE):
            names = ("dram_offset", "rows", "dram_pitch", "bytes")
            low, high = ([instruction[n] + changes[index, n][i] for n in names] for i in (0, 1))
            offset, rows, pitch, size = high
            spans.add((low[0], offset + (rows - 1) * pitch + size))
    return spans


def relocate(
    program: Program, moves: Sequence[tuple[Section, int]], base: int, arena_bytes: int
) -> Program:
    """`program` with each section at its new offset, and everything else `base` bytes further.

    Patches add to a field, so they mean the same in the program that is returned.

    Parameters
    ----------
    moves : (section, new offset of its first byte), offsets as far into a page of 4096 as before
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
        program_offset=place(program.program_offset),
        arena_bytes=arena_bytes,
        constants=[(place(offset), data) for offset, data in program.constants],
        inputs=moved(program.inputs),
        outputs=moved(program.outputs),
        states=moved(program.states),
    )
