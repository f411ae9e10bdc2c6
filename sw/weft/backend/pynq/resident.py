"""One program on a board: placed once, kept, run many times.

numpy and the contract only: this runs on a board.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Array
from weft.errors import UsageError

from .relocate import relocate, sections
from .transport import PAGE, PynqTransport

if TYPE_CHECKING:
    from weft.program import Program, TensorSpec

__all__ = ["Resident"]


class Resident:
    """A program whose constants are on a board.

    Buffer 0 holds the whole arena; inputs and outputs that can move have buffers of their own.

    Parameters
    ----------
    program : Program
    transport : PynqTransport
        Gives the buffers.

    Raises
    ------
    MemoryExhausted
        The board has not enough contiguous memory; nothing is held then.
    Unsupported
        The buffers lie further apart than 4 GiB.
    """

    def __init__(self, program: Program, transport: PynqTransport) -> None:
        self.program = program
        self._sections = sections(program)
        sizes = [program.arena_bytes]
        sizes += [s.start % PAGE + s.end - s.start for s in self._sections]
        #: Its buffers.
        self.placement = placement = transport.place(sizes)
        addresses = placement.addresses
        #: Physical address of the arena that spans all buffers.
        self.base = min(addresses)
        span = max(a + -(-size // PAGE) * PAGE for a, size in zip(addresses, sizes)) - self.base
        moves = [(s, a - self.base + s.start % PAGE) for s, a in zip(self._sections, addresses[1:])]
        #: The program as the accelerator sees it.
        self.moved = relocate(program, moves, addresses[0] - self.base, span)
        placement.wanted = {i + 1 for i, s in enumerate(self._sections) if s.kind == "output"}
        if set(program.outputs) - {name for s in self._sections for name in s.tensors}:
            placement.wanted.add(0)
        predicted = program.metadata.get("predicted_cycles", 0)
        #: Cycles that the compiler expects of a run.
        self.predicted_cycles = int(predicted) if isinstance(predicted, (int, float)) else 0
        self._fill()

    def _fill(self) -> None:
        """Constants and instructions, as the accelerator has to find them."""
        program = self.program
        image = self.placement.array(0)
        for offset, data in (*program.constants, (program.program_offset, self.moved.encoded)):
            image[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def _rows(self, spec: TensorSpec, kind: str) -> tuple[int, NDArray[np.uint8]]:
        """(index of its buffer, view uint8 [rows, row_bytes]) of a tensor."""
        index, shift = 0, 0
        for i, section in enumerate(self._sections):
            if section.kind == kind and spec.name in section.tensors:
                index, shift = i + 1, section.start // PAGE * PAGE
        start = self.placement.array(index)[spec.offset - shift :]
        shape = (spec.shape[0], spec.row_bytes)
        return index, np.lib.stride_tricks.as_strided(start, shape, (spec.stride, 1))

    def write(self, inputs: Mapping[str, Array]) -> None:
        """Put inputs into their buffers.

        Raises
        ------
        UsageError
            One has another shape or dtype than the program says.
        """
        for name, array in inputs.items():
            spec = self.program.inputs[name]
            given = np.ascontiguousarray(array)
            if given.shape != spec.shape or given.dtype != spec.numpy_dtype:
                raise UsageError(
                    f"input {name!r} must be {spec.dtype} {list(spec.shape)}, "
                    f"not {given.dtype} {list(given.shape)}"
                )
            index, rows = self._rows(spec, "input")
            rows[...] = given.view(np.uint8).reshape(rows.shape)
            self.placement.dirty.add(index)

    def read(self) -> dict[str, Array]:
        """Copies of the outputs, as the buffers hold them."""
        results = {}
        for name, spec in self.program.outputs.items():
            _, rows = self._rows(spec, "output")
            found = np.frombuffer(rows.tobytes(), spec.numpy_dtype)
            results[name] = found.reshape(spec.shape).copy()
        return results

    def memory(self) -> bytes:
        """The arena as the program knows it."""
        program, placement = self.program, self.placement
        for buffer in placement.buffers:
            buffer.invalidate()
        image = placement.array(0)[: program.arena_bytes].copy()
        for index, section in enumerate(self._sections):
            start = section.start % PAGE
            data = placement.array(index + 1)[start : start + section.end - section.start]
            image[section.start : section.end] = data
        # The instructions that ran name other places; the program's own stand here.
        code = np.frombuffer(program.encoded, np.uint8)
        image[program.program_offset : program.program_offset + len(code)] = code
        return bytes(image.tobytes())
