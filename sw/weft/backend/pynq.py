"""A PYNQ board: local, remote over PYNQ.remote, or virtual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft_hw.registers import IRQ_DONE, IRQ_ERROR, STATUS_BUS_BUSY, STATUS_RUNNING

from ..driver.device import Device
from ..driver.pynq_overlay import PORT, LoadedOverlay, connect, load_overlay
from ..driver.pynq_transport import MemoryExhausted, Placement, PynqTransport
from ..driver.relocate import Section, relocate, sections
from ..errors import DeviceError, UsageError
from .base import Array, Backend, Capabilities

if TYPE_CHECKING:
    from ..program import Program, TensorSpec

__all__ = ["PynqBackend"]

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


class PynqBackend(Backend):
    """Run programs on a board.

    The first :meth:`load` of a program uploads its constants, which stay on the board; :meth:`run`
    moves inputs and outputs. Several programs stay as long as the board's memory holds them.

    Parameters
    ----------
    bitstream : Path
        The .bit of an overlay, with .hwh and manifest beside it; it says the configuration.
    host, port : str, int
        The board's PYNQ.remote server; "" is the board that this runs on.
    timeout_s : float
        Limit of one run.
    watchdog_cycles : int
        Cycles without progress before the core stops itself.

    Raises
    ------
    ToolMissing
        pynq is not installed.
    DeviceError
        The board does not answer, or refuses the bitstream.
    Mismatch
        Overlay, manifest, board or registers do not belong together.
    """

    name = "pynq"

    def __init__(
        self,
        bitstream: Path | str,
        host: str = "",
        port: int = PORT,
        *,
        timeout_s: float = 120.0,
        watchdog_cycles: int = 100_000,
    ) -> None:
        path = Path(bitstream).resolve()
        self.loaded: LoadedOverlay = load_overlay(path, connect(host, port))
        super().__init__(self.loaded.manifest.config)
        interrupts = not self.loaded.remote and getattr(self.loaded.ip, "irq", None) is not None
        self.transport = PynqTransport(
            self.loaded.ip,
            self.loaded.allocate,
            self.loaded.clock_mhz,
            interrupts=interrupts,
            timeout_s=timeout_s,
        )
        self.device = Device(self.transport, self.config, watchdog_cycles)
        self._residents: dict[int, _Resident] = {}
        self._registers: dict[str, int] = {}

    @property
    def clock_mhz(self) -> float:
        """Clock of the accelerator, as read back."""
        return self.loaded.clock_mhz

    def capabilities(self) -> Capabilities:
        return Capabilities(cycles=True, memory=True, max_arena_bytes=(1 << 32) - _PAGE)

    def load(self, program: Program) -> None:
        self._program = None
        program.require_config(self.config)
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

    def unload(self) -> None:
        """Give back the memory of all programs."""
        self._program = None
        self._settle()
        for resident in self._residents.values():
            self.transport.release(resident.placement)
        self._residents.clear()
        self._registers.clear()

    def _settle(self) -> None:
        """No burst of an aborted run may reach buffers that are given to others."""
        if self.device.read("status") & (STATUS_RUNNING | STATUS_BUS_BUSY):
            self.device.reset()

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
        return self._residents[id(self.program)].sections

    def _section_of(self, name: str, kind: str) -> int:
        """Index of the section that holds a tensor; -1 where it stayed in the first buffer."""
        for index, section in enumerate(self._sections):
            if section.kind == kind and name in section.tensors:
                return index
        return -1

    def _rows(self, spec: TensorSpec, kind: str) -> tuple[int, NDArray[np.uint8]]:
        """(index of its buffer, view uint8 [rows, row_bytes]) of a tensor."""
        index = self._section_of(spec.name, kind)
        shift = self._sections[index].start // _PAGE * _PAGE if index >= 0 else 0
        start = self.transport.placement.array(index + 1)[spec.offset - shift :]
        shape = (spec.shape[0], spec.row_bytes)
        return index + 1, np.lib.stride_tricks.as_strided(start, shape, (spec.pitch, 1))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        program = self.program
        self.check_inputs(inputs)
        for name, array in inputs.items():
            spec = program.inputs[name]
            given = np.ascontiguousarray(array)
            if given.shape != spec.shape or given.dtype != spec.numpy_dtype:
                raise UsageError(
                    f"input {name!r} must be {spec.dtype} {list(spec.shape)}, "
                    f"not {given.dtype} {list(given.shape)}"
                )
            index, rows = self._rows(spec, "input")
            rows[...] = given.view(np.uint8).reshape(rows.shape)
            self.transport.placement.dirty.add(index)
        try:
            self.device.run(_NO_LIMIT)
        except DeviceError:
            self._registers.clear()
            raise
        results = {}
        for name, spec in program.outputs.items():
            _, rows = self._rows(spec, "output")
            found = np.frombuffer(rows.tobytes(), spec.numpy_dtype)
            results[name] = found.reshape(spec.shape).copy()
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
