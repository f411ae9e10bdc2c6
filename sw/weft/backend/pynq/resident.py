"""One program on a board: placed once, kept, run many times.

numpy and the contract only: this runs on a board.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from weft.errors import Unsupported
from weft.program import Array, Program
from weft_hw.isa import INSTRUCTION_BYTES, Instruction, encode

from .relocate import relocate, sections
from .transport import PAGE, PynqTransport

__all__ = ["Resident"]


class Resident:
    """A program whose constants and states are on a board.

    Buffer 0 holds the whole arena. Inputs, outputs, states, and instructions with patches have
    buffers of their own where they can move, so that nothing that a run writes shares a buffer
    with what it only reads.

    Parameters
    ----------
    transport : PynqTransport, which gives the buffers

    Raises
    ------
    MemoryExhausted
        The board has not enough contiguous memory; nothing is held then.
    Unsupported
        The buffers lie further apart than 4 GiB.
    """

    def __init__(self, program: Program, transport: PynqTransport) -> None:
        self.program, self._transport = program, transport
        self._sections = sections(program)
        sizes = [program.arena_bytes]
        sizes += [s.start % PAGE + s.end - s.start for s in self._sections]
        #: Its buffers.
        self.placement = transport.place(sizes)
        addresses = self.placement.addresses
        #: Physical address of the arena that spans all buffers.
        self.base = min(addresses)
        span = max(a + -(-size // PAGE) * PAGE for a, size in zip(addresses, sizes)) - self.base
        moves = [(s, a - self.base + s.start % PAGE) for s, a in zip(self._sections, addresses[1:])]
        try:
            #: The program as the accelerator sees it.
            self.moved = relocate(program, moves, addresses[0] - self.base, span)
        except Unsupported:
            transport.release(self.placement)
            raise
        #: Index of the buffer that holds each tensor, and the tensor in it.
        self._tensors = {
            name: (index, dataclasses.replace(spec, offset=at))
            for specs in (program.inputs, program.outputs, program.states)
            for name, spec in specs.items()
            for index, at in [self._place(spec.offset)]
        }
        self.placement.wanted = {self._tensors[name][0] for name in program.outputs}
        #: Patch values of the last run, and the instructions that they made.
        self._values: dict[str, int] = {}
        self._patched: Mapping[int, Instruction] = {}
        #: Cycles that the compiler expects of a run.
        self.predicted_cycles = int(program.metadata.get("predicted_cycles", 0))
        for offset, data in (*program.constants, (program.program_offset, self.moved.encoded)):
            self._bytes(offset, len(data))[:] = np.frombuffer(data, np.uint8)

    # -- places -----------------------------------------------------------------------------------

    def _place(self, offset: int) -> tuple[int, int]:
        """(index of the buffer, offset in it) of a byte of the program's arena."""
        for index, section in enumerate(self._sections, 1):
            if section.start <= offset < section.end:
                return index, offset - section.start + section.start % PAGE
        return 0, offset

    def _bytes(self, offset: int, size: int) -> NDArray[np.uint8]:
        """View of bytes that lie in one buffer."""
        index, at = self._place(offset)
        return self.placement.array(index)[at : at + size]

    def _fetch(self, index: int) -> None:
        """See in a buffer what the accelerator wrote, where the host has written nothing since."""
        if index not in self.placement.dirty:
            self._transport.fetch(self.placement.buffers[index])

    def _touch(self, index: int) -> None:
        """To be called before the host writes to a part of a buffer, which goes back as a whole."""
        if any(self._tensors[name][0] == index for name in self.program.states):
            self._fetch(index)
        self.placement.dirty.add(index)

    # -- runs -------------------------------------------------------------------------------------

    def patch(self, values: Mapping[str, int] | None) -> Mapping[int, Instruction]:
        """Set the fields that a run gives; only instructions that change are written.

        Returns and raises as :meth:`weft.program.Program.patched_instructions`.
        """
        wanted = self.moved.patched_instructions(values)
        there = self._patched or self.moved.instructions
        changed = {n: i for n, i in wanted.items() if i != there[n]}
        index, start = self._place(self.program.program_offset)
        if changed:
            self._touch(index)
        for number, instruction in changed.items():
            at = start + INSTRUCTION_BYTES * number
            word = np.frombuffer(encode(instruction), np.uint8)
            self.placement.array(index)[at : at + INSTRUCTION_BYTES] = word
        self._patched, self._values = wanted, dict(values or {})
        return wanted

    def write(self, inputs: Mapping[str, Array]) -> None:
        """Put inputs into their buffers; they have been checked."""
        for name, array in inputs.items():
            index, spec = self._tensors[name]
            self._touch(index)
            spec.write(self.placement.array(index), array)

    def read(self) -> dict[str, Array]:
        """Copies of the outputs, as the buffers hold them."""
        return {name: self._read(name) for name in self.program.outputs}

    def _read(self, name: str) -> Array:
        index, spec = self._tensors[name]
        return spec.read(self.placement.array(index))

    def read_state(self, name: str) -> Array:
        """Copy of a state, as the accelerator left it."""
        self._fetch(self._tensors[name][0])
        return self._read(name)

    def reset(self) -> None:
        """Give the states their first values."""
        for name, spec in self.program.states.items():
            self._touch(self._tensors[name][0])
            self._bytes(spec.offset, spec.end - spec.offset)[:] = 0
        for offset, data in self.program.first_values:
            self._bytes(offset, len(data))[:] = np.frombuffer(data, np.uint8)

    def memory(self) -> bytes:
        """The arena as the program knows it."""
        program, placement = self.program, self.placement
        for index in range(len(placement.buffers)):
            self._fetch(index)
        image = placement.array(0)[: program.arena_bytes].copy()
        for section in self._sections:
            size = section.end - section.start
            image[section.start : section.end] = self._bytes(section.start, size)
        # The instructions that ran name other places; the program's own stand here.
        code = np.frombuffer(program.encoded, np.uint8)
        image[program.program_offset : program.program_offset + len(code)] = code
        if self._values:
            program.write_patched(image, self._values)
        return bytes(image.tobytes())
