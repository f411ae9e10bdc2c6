"""The Verilated accelerator with the DRAM model, behind the same driver as a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weft import tools
from weft.backend.base import Array, BackendUnavailable, ProgramBackend
from weft.dram import MemoryModel, memory_of
from weft.driver.device import Device
from weft.driver.transport import Transport
from weft.errors import DeviceError, UsageError
from weft.program import Program
from weft_hw.config import AcceleratorConfig

from . import build
from .library import ProtocolError, Simulation

__all__ = ["GUARD_BYTE", "GUARD_BYTES", "MAX_ARENA_BYTES", "RtlBackend", "RtlTransport"]

#: Memory before and behind the arena that nobody may write; kept full of GUARD_BYTE.
GUARD_BYTES = 4096
GUARD_BYTE = 0xA5
#: The host holds the simulated memory.
MAX_ARENA_BYTES = 1 << 30


class RtlTransport(Transport):
    """Registers through AXI4-Lite, arena between two guards in the simulated DRAM.

    Parameters
    ----------
    path : Path
        Shared library of the configuration.
    trace : Path, optional
        VCD file; needs a library that was built for traces.
    """

    def __init__(
        self, path: Path, config: AcceleratorConfig, model: MemoryModel, trace: Path | None = None
    ) -> None:
        self._path, self._config, self._model, self._trace = path, config, model, trace
        self._size = 0
        #: In use; :meth:`allocate` makes a new one where the memory has to grow.
        self.simulation = self._make(0)

    def _make(self, size: int) -> Simulation:
        simulation = Simulation(self._path, self._config, self._model, 2 * GUARD_BYTES + size)
        if self._trace is not None:
            simulation.trace(self._trace)
        return simulation

    def allocate(self, size: int) -> None:
        """Make `arena` a zeroed one of `size` bytes; the one before is given back."""
        if not 0 < size <= MAX_ARENA_BYTES:
            raise UsageError(f"an arena must have 1..{MAX_ARENA_BYTES} bytes, not {size}")
        if 2 * GUARD_BYTES + size > len(self.simulation.memory):
            self.simulation.close()
            self.simulation = self._make(size)
        self._size = size
        memory = self.simulation.memory
        memory[:] = GUARD_BYTE
        memory[GUARD_BYTES : GUARD_BYTES + size] = 0
        self.simulation.set_window(GUARD_BYTES, GUARD_BYTES + size)

    @property
    def arena(self) -> NDArray[np.uint8]:
        """The arena, uint8 [size], a view that the host reads and writes."""
        return self.simulation.memory[GUARD_BYTES : GUARD_BYTES + self._size]

    @property
    def arena_address(self) -> int:
        return self.simulation.base + GUARD_BYTES

    def read32(self, offset: int) -> int:
        value, response = self.simulation.read_register(offset)
        if response:
            raise DeviceError(f"reading register {offset:#05x} answered response {response}, not 0")
        return value

    def write32(self, offset: int, value: int) -> None:
        response = self.simulation.write_register(offset, value)
        if response:
            raise DeviceError(f"writing register {offset:#05x} answered response {response}, not 0")

    def wait(self, cycles: int) -> bool:
        self.simulation.run(cycles)
        return self.simulation.irq

    def check(self) -> None:
        memory, end = self.simulation.memory, GUARD_BYTES + self._size
        for start, guard in ((0, memory[:GUARD_BYTES]), (end, memory[end:])):
            wrong = np.flatnonzero(guard != GUARD_BYTE)
            if len(wrong):
                at = start + int(wrong[0])
                address, value = self.simulation.base + at, int(guard[wrong[0]])
                guard[:] = GUARD_BYTE
                raise ProtocolError(
                    f"{len(wrong)} guard bytes around the arena were written, the first at address "
                    f"{address:#x} (arena offset {at - GUARD_BYTES}) with {value:#04x}"
                )

class RtlBackend(ProgramBackend):
    """Run programs on the Verilated RTL.

    The simulator is built on first use of a configuration and cached. Its memory holds one program;
    the states of others are kept aside.

    Parameters
    ----------
    model : MemoryModel, optional
        The DRAM; by default that of the configuration's board at its clock.
    trace : Path, optional
        VCD file; makes a separate, slower build.
    watchdog_cycles, timeout_cycles : int
        Limits of a run: without progress, and altogether.
    progress : callable, optional
        Called with a short sentence at each step of a build.

    Raises
    ------
    BackendUnavailable
        Verilator, g++, make or perl is not installed.
    """

    name = "rtl"
    counts_cycles = True

    def __init__(
        self,
        config: AcceleratorConfig,
        model: MemoryModel | None = None,
        *,
        trace: Path | None = None,
        watchdog_cycles: int = 100_000,
        timeout_cycles: int = 100_000_000,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(config)
        sentences = tools.missing_for_simulation()
        if sentences:
            raise BackendUnavailable("the rtl backend cannot start: " + "; ".join(sentences))
        self.model = memory_of(config) if model is None else model
        self.timeout_cycles = timeout_cycles
        #: The program in the arena, and the states of others: digest -> bytes of each.
        self._placed: Program | None = None
        self._aside: dict[str, list[NDArray[np.uint8]]] = {}
        path = build.library(config, trace=trace is not None, progress=progress)
        self.transport = RtlTransport(path, config, self.model, trace)
        self.device = Device(self.transport, config, watchdog_cycles)

    @property
    def simulation(self) -> Simulation:
        """The simulation, for faults, stalls and traffic statistics."""
        return self.transport.simulation

    def load(self, program: Program) -> None:
        self._program = None
        program.require_config(self.config)
        self.device.settle()
        old = self._placed
        if old is None or old.digest != program.digest:
            if old is not None and old.states:
                self._aside[old.digest] = [view.copy() for view in self._states(old)]
            self._placed = None
            self.transport.allocate(program.arena_bytes)
            self.device.written.clear()  # a simulation of a larger memory is another one
            program.write_image(self.transport.arena)
            kept = self._aside.pop(program.digest, [])
            for view, data in zip(self._states(program), kept):
                view[:] = data
        self.device.select(program)
        self._placed = self._program = program

    def _states(self, program: Program) -> list[NDArray[np.uint8]]:
        """Views of the bytes of the states of the program in the arena."""
        return [self.transport.arena[s.offset : s.end] for s in program.states.values()]

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        program = self.program
        self.check_inputs(inputs)
        self.device.settle()
        arena = self.transport.arena
        self.device.patched = program.write_patched(arena, patches)
        for name, array in inputs.items():
            program.inputs[name].write(arena, array)
        self.device.run(self.timeout_cycles)
        return {name: spec.read(arena) for name, spec in program.outputs.items()}

    def read_state(self, name: str) -> Array:
        return self.state_spec(name).read(self.transport.arena)

    def reset(self) -> None:
        program = self.program
        self.device.settle()
        program.reset_states(self.transport.arena)

    def unload(self, program: Program | None = None) -> None:
        placed = self._placed
        if program is None or (placed is not None and placed.digest == program.digest):
            self._program = self._placed = None
        for digest in list(self._aside) if program is None else [program.digest]:
            self._aside.pop(digest, None)

    def counters(self) -> dict[str, int]:
        return self.device.counters()

    def memory(self) -> bytes:
        return self.transport.arena.tobytes()

    def close(self) -> None:
        super().close()
        self.simulation.close()
