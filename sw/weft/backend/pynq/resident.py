"""Programs on an accelerator behind buffers and registers: placed once, kept, run many times.

numpy and the contract only: this runs on a board.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Array, Capabilities, ProgramBackend
from weft.driver.device import Device
from weft.errors import DeviceError, Unsupported
from weft_hw.config import AcceleratorConfig
from weft_hw.registers import IRQ_DONE, IRQ_ERROR, STATUS_BUS_BUSY, STATUS_RUNNING

from .relocate import Section, relocate, sections
from .transport import MemoryExhausted, Placement, PynqTransport

if TYPE_CHECKING:
    from weft.program import Program, TensorSpec

__all__ = ["BoardBackend"]

_PAGE = 4096
#: Cycles; the transport's timeout in seconds ends a run.
_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class _Resident:
    """A program whose constants are on the board. base : physical address of its arena."""

    program: Program
    moved: Program
    placement: Placement
    sections: list[Section]
    base: int
    predicted_cycles: int


class BoardBackend(ProgramBackend):
    """Run programs through a transport.

    The first :meth:`load` of a program uploads its constants, which stay in its buffers;
    :meth:`run` moves inputs and outputs. Several programs stay as long as the memory holds them.

    Parameters
    ----------
    transport : PynqTransport
    config : AcceleratorConfig
        What is expected at its other end.
    watchdog_cycles : int
        Cycles without progress before the core stops itself.

    Raises
    ------
    Mismatch
        Another accelerator answers.
    """

    name = "pynq"

    def __init__(
        self, transport: PynqTransport, config: AcceleratorConfig, watchdog_cycles: int = 100_000
    ) -> None:
        super().__init__(config)
        self.transport = transport
        self.device = Device(transport, config, watchdog_cycles)
        self._residents: dict[int, _Resident] = {}
        #: Registers as this client wrote them; empty where they have to be written again.
        self._registers: dict[str, int] = {}

    def capabilities(self) -> Capabilities:
        return Capabilities(cycles=True, memory=True, max_arena_bytes=(1 << 32) - _PAGE)

    def load(self, program: Program) -> None:
        self._program = None
        program.require_config(self.config)
        if program.states or program.patches:
            raise Unsupported("the pynq backend runs no program with states or patches")
        resident = self._residents.get(id(program))
        if resident is None:
            self._settle()
            resident = self._place(program)
            self._upload(resident)
            self._residents[id(program)] = resident
        self.transport.placement = resident.placement
        self.transport.expected_cycles = resident.predicted_cycles
        self.device.program = resident.moved
        self._configure(resident)
        self._program = program

    def unload(self, program: Program | None = None) -> None:
        if program is None or program is self._program:
            self._program = None
        self._settle()
        for key in [id(program)] if program is not None else list(self._residents):
            if key in self._residents:
                self.transport.release(self._residents.pop(key).placement)
        self._registers.clear()

    def read_state(self, name: str) -> Array:
        return self.program.read_state(np.zeros(0, np.uint8), name)

    def reset(self) -> None:
        """Nothing to do: no program has states."""

    def _settle(self) -> None:
        """No burst of an aborted run may reach buffers that are given to others.

        Raises
        ------
        DeviceError
            A program of another client is running.
        """
        status = self.device.read("status")
        if status & STATUS_RUNNING and not self._is_ours():
            self._registers.clear()
            raise DeviceError(
                "another client's program is running on the board",
                "wait until it is done, or stop that client",
            )
        if status & (STATUS_RUNNING | STATUS_BUS_BUSY):
            self.device.reset()

    def _is_ours(self) -> bool:
        """Whether the arena that the core would use is one of this client's.

        Buffers of living clients never share an address, so the arena's tells whose registers they
        are.
        """
        found = self.device.read("arena_base_low")
        return any(found == r.base & 0xFFFF_FFFF for r in self._residents.values())

    def _require_ours(self) -> None:
        if self.device.read("arena_base_low") != self._resident.base & 0xFFFF_FFFF:
            raise DeviceError(
                "another client has used the board since this program was loaded",
                "let one client work at a time; the next run takes the board back",
            )

    @property
    def _resident(self) -> _Resident:
        return self._residents[id(self.program)]

    def _place(self, program: Program) -> _Resident:
        """Buffers for `program`; where memory is short, those of all other programs go first."""
        found = sections(program)
        sizes = [program.arena_bytes]
        sizes += [s.start % _PAGE + s.end - s.start for s in found]
        try:
            placement = self.transport.place(sizes)
        except MemoryExhausted:
            if not self._residents:
                raise
            self.unload()
            placement = self.transport.place(sizes)
        addresses = placement.addresses
        base = min(addresses)
        span = max(a + -(-size // _PAGE) * _PAGE for a, size in zip(addresses, sizes)) - base
        moves = [(s, a - base + s.start % _PAGE) for s, a in zip(found, addresses[1:])]
        moved = relocate(program, moves, addresses[0] - base, span)
        placement.wanted = {i + 1 for i, s in enumerate(found) if s.kind == "output"}
        kept = {name for s in found for name in s.tensors}
        if set(program.outputs) - kept:
            placement.wanted.add(0)
        predicted = program.metadata.get("predicted_cycles", 0)
        cycles = int(predicted) if isinstance(predicted, (int, float)) else 0
        return _Resident(program, moved, placement, found, base, cycles)

    def _upload(self, resident: _Resident) -> None:
        program, moved = resident.program, resident.moved
        image = resident.placement.array(0)
        for offset, data in (*program.constants, (program.program_offset, moved.encoded)):
            image[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        self.transport.placement = resident.placement
        self.transport.flush()

    def _configure(self, resident: _Resident) -> None:
        """Write the registers of a program that differ from those written before."""
        values = {
            "arena_base_low": resident.base & 0xFFFF_FFFF,
            "arena_base_high": resident.base >> 32,
            "arena_bytes": resident.moved.arena_bytes,
            "program_offset": resident.moved.program_offset,
            "program_length": len(resident.moved.instructions),
            "watchdog": self.device.watchdog_cycles,
            "irq_enable": IRQ_DONE | IRQ_ERROR,
        }
        for name, value in values.items():
            if self._registers.get(name) != value:
                self.device.write(name, value)
                self._registers[name] = value

    @property
    def _sections(self) -> list[Section]:
        return self._resident.sections

    def _section_of(self, name: str, kind: str) -> int:
        """Index of the section that holds a tensor; -1 where it stayed in the first buffer."""
        for index, section in enumerate(self._sections):
            if section.kind == kind and name in section.tensors:
                return index
        return -1

    def _placed(
        self, spec: TensorSpec, kind: str
    ) -> tuple[int, NDArray[np.uint8], TensorSpec]:
        """(index of its buffer, the buffer, where the tensor lies in it)."""
        index = self._section_of(spec.name, kind)
        shift = self._sections[index].start // _PAGE * _PAGE if index >= 0 else 0
        buffer = self.transport.placement.array(index + 1)
        return index + 1, buffer, dataclasses.replace(spec, offset=spec.offset - shift)

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        program = self.program
        self.check_inputs(inputs)
        program.patched_instructions(patches)
        for name, array in inputs.items():
            index, buffer, spec = self._placed(program.inputs[name], "input")
            spec.write(buffer, array)
            self.transport.placement.dirty.add(index)
        try:
            if not self._registers:
                self._settle()
                self._configure(self._resident)
            self._require_ours()
            self.device.run(_NO_LIMIT)
            self._require_ours()
        except DeviceError:
            self._registers.clear()
            raise
        results = {}
        for name, spec in program.outputs.items():
            _, buffer, placed = self._placed(spec, "output")
            results[name] = placed.read(buffer)
        return results

    def counters(self) -> dict[str, int]:
        return self.device.counters()

    def memory(self) -> bytes:
        program, placement = self.program, self.transport.placement
        for buffer in placement.buffers:
            buffer.invalidate()
        image = placement.array(0)[: program.arena_bytes].copy()
        for index, section in enumerate(self._sections):
            start = section.start % _PAGE
            data = placement.array(index + 1)[start : start + section.end - section.start]
            image[section.start : section.end] = data
        # The instructions that ran name other places; the program's own stand here.
        code = np.frombuffer(program.encoded, np.uint8)
        image[program.program_offset : program.program_offset + len(code)] = code
        return bytes(image.tobytes())

    def close(self) -> None:
        super().close()
        for resident in self._residents.values():
            self.transport.release(resident.placement)
        self._residents.clear()
