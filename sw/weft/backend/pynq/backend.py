"""A PYNQ board: local, remote over PYNQ.remote, or virtual.

numpy, the contract and pynq only: this runs on a board.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from weft.backend.base import Array, ProgramBackend
from weft.bundle.manifest import Manifest, sha256
from weft.driver.device import Device
from weft.errors import DeviceError, WeftError
from weft.program import Program
from weft_hw.config import AcceleratorConfig
from weft_hw.registers import STATUS_BUS_BUSY, STATUS_RUNNING

from .firmware import refresh
from .identity import is_virtual, require_board
from .load import PORT, LoadedOverlay, connect, load_overlay
from .lock import BoardLock
from .resident import Resident
from .transport import MemoryExhausted, PynqTransport

__all__ = ["BoardBackend", "DriverBackend", "PynqBackend", "RunCost"]

#: Cycles; the transport's timeout in seconds ends a run.
_NO_LIMIT = 1 << 62


class RunCost(NamedTuple):
    """What one run took of the host: wall time with the driver, and register accesses."""

    seconds: float
    accesses: int


class BoardBackend(ProgramBackend):
    """A backend whose accelerator is on a board, whichever process drives it."""

    name = "pynq"
    counts_cycles = True
    #: Clock of the accelerator, as read back.
    clock_mhz: float
    #: Whether the programmable logic is simulated, so that cycles are those of the RTL.
    virtual = False
    #: What the board calls itself.
    board = ""
    #: Of the last run.
    cost = RunCost(0.0, 0)

    @abstractmethod
    def check_registers(self) -> None:
        """Write and read registers; all programs are unloaded.

        Raises
        ------
        DeviceError
            They do not keep what is written, or are not those of this configuration.
        """


class DriverBackend(BoardBackend):
    """Run programs through a transport.

    The first :meth:`load` of a program uploads its constants, which stay in its buffers, as its
    states do; :meth:`run` moves inputs, outputs and instructions that patches change. Several
    programs stay as long as the memory holds them; those with states stay until they are unloaded.

    Parameters
    ----------
    transport, config, watchdog_cycles : as of a Device

    Raises
    ------
    Mismatch
        Another accelerator answers.
    """

    def __init__(
        self, transport: PynqTransport, config: AcceleratorConfig, watchdog_cycles: int = 100_000
    ) -> None:
        super().__init__(config)
        self.transport, self.clock_mhz = transport, transport.clock_mhz
        self.device = Device(transport, config, watchdog_cycles)
        #: Programs on the board by their digests.
        self._residents: dict[str, Resident] = {}

    def load(self, program: Program) -> None:
        self._program = None
        program.require_config(self.config)
        if program.digest not in self._residents:
            self._settle()
            self._residents[program.digest] = self._place(program)
        resident = self._residents[program.digest]
        self.transport.placement = resident.placement
        self.transport.flush()
        self.transport.expected_cycles = resident.predicted_cycles
        self.device.select(resident.moved)
        self._program = program

    def _place(self, program: Program) -> Resident:
        """Buffers for `program`; where memory is short, those of programs without states go."""
        try:
            return Resident(program, self.transport)
        except MemoryExhausted:
            idle = [r.program for r in self._residents.values() if not r.program.states]
            if not idle:
                raise
        for other in idle:
            self.unload(other)
        return Resident(program, self.transport)

    def unload(self, program: Program | None = None) -> None:
        loaded = None if self._program is None else self._program.digest
        digests = list(self._residents) if program is None else [program.digest]
        if loaded in digests:
            self._program = None
        self._settle()
        self._release(*digests)

    def _release(self, *digests: str) -> None:
        for digest in digests:
            if digest in self._residents:
                self.transport.release(self._residents.pop(digest).placement)

    def _settle(self) -> None:
        """No burst of an aborted run may reach buffers that are given to others.

        Raises DeviceError where a program of another client is running.
        """
        status = self.device.read("status")
        if status & STATUS_RUNNING and not self._is_ours():
            self.device.written.clear()
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
    def _resident(self) -> Resident:
        return self._residents[self.program.digest]

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        start, accesses = time.perf_counter(), self.transport.accesses
        self.check_inputs(inputs)
        resident = self._resident
        try:
            if not self.device.written:
                self._settle()
                self.device.select(resident.moved)
            self.device.patched = resident.patch(patches)
            resident.write(inputs)
            self._require_ours()
            self.device.run(_NO_LIMIT)
            self._require_ours()
        except DeviceError:
            self.device.written.clear()
            raise
        results = resident.read()
        seconds = time.perf_counter() - start
        self.cost = RunCost(seconds, self.transport.accesses - accesses)
        return results

    def read_state(self, name: str) -> Array:
        return self._resident.read_state(self.state_spec(name).name)

    def reset(self) -> None:
        resident = self._resident
        self._settle()
        resident.reset()
        self.transport.flush()

    def counters(self) -> dict[str, int]:
        return self.device.counters()

    def memory(self) -> bytes:
        return self._resident.memory()

    def check_registers(self) -> None:
        for pattern in (0x5A5A_5000, 0x2525_A000):
            self.device.write("arena_base_low", pattern)
            found = self.device.read("arena_base_low")
            if found != pattern:
                raise DeviceError(
                    f"register arena_base_low reads {found:#x} after {pattern:#x} was written",
                    "lower the clock, or build the overlay again",
                )
        self.unload()  # it knows nothing of these writes
        config = self.config
        capability = config.rows | config.cols << 8 | config.weight_rows_per_cycle << 16
        if self.device.read("capability_array") != capability:
            raise DeviceError("the array has not the size that its config hash stands for")

    def close(self) -> None:
        super().close()
        self._release(*self._residents)


class PynqBackend(DriverBackend):
    """Run programs on a board.

    Parameters
    ----------
    bitstream : Path
        The .bit of an overlay, with .hwh and manifest beside it; it says the configuration.
    host, port : str, int
        The board's PYNQ.remote server; "" is the board that this runs on.
    watchdog_cycles : as of a Device

    Raises
    ------
    ToolMissing
        pynq is not installed.
    DeviceError
        The board does not answer, refuses the bitstream, or is in use.
    Mismatch
        Overlay, manifest, board or registers do not belong together.
    """

    def __init__(
        self,
        bitstream: Path | str,
        host: str = "",
        port: int = PORT,
        *,
        watchdog_cycles: int = 100_000,
    ) -> None:
        path = Path(bitstream).resolve()
        self._lock = BoardLock(host, port)
        try:
            device = connect(host, port)
            manifest = Manifest.load(path.with_suffix(".json"))
            require_board(manifest.board, device.name)
            if path.is_file() and sha256(path) == manifest.files.get(path.name):
                refresh(device, path)
            self.loaded: LoadedOverlay = load_overlay(path, device)
            interrupts = not self.loaded.remote and getattr(self.loaded.ip, "irq", None) is not None
            clock_mhz = self.loaded.clock_mhz
            transport = PynqTransport(
                self.loaded.ip, device.allocate, clock_mhz, interrupts=interrupts
            )
            super().__init__(transport, self.loaded.manifest.config, watchdog_cycles)
        except WeftError:
            self._lock.release()
            raise
        self.board, self.virtual = str(device.name), is_virtual(device)

    def close(self) -> None:
        super().close()
        self._lock.release()
