"""The emulator as a device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Array, ProgramBackend
from weft.errors import DeviceError, UsageError
from weft.program import Program
from weft_hw.config import AcceleratorConfig

from .machine import execute
from .state import State

__all__ = ["EmulatorBackend"]


class EmulatorBackend(ProgramBackend):
    """Run programs by the definition of their instructions; no cycles.

    It holds the arenas of the loaded program and of all programs with states.
    """

    name = "emulator"

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(config)
        self._state: State | None = None
        #: Digest of a program -> its arena.
        self._arenas: dict[str, NDArray[np.uint8]] = {}

    def load(self, program: Program) -> None:
        program.require_config(self.config)
        old = self._program
        if old is not None and not old.states and old.digest != program.digest:
            self.unload(old)
        if program.digest not in self._arenas:
            self._arenas[program.digest] = program.image()
        self._program, self._state = program, None

    def run(
        self, inputs: Mapping[str, Array], patches: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        program, arena = self.program, self._arena
        self.check_inputs(inputs)
        changed = program.write_patched(arena, patches)
        for name, array in inputs.items():
            program.inputs[name].write(arena, array)
        instructions = program.instructions
        if changed:
            instructions = [changed.get(i, old) for i, old in enumerate(instructions)]
        try:
            self._state = execute(self.config, instructions, arena)
        except DeviceError as error:
            node = program.node_of(error.instruction)
            if node is not None:
                error.message += f", in node {node}"
            raise
        return {name: spec.read(arena) for name, spec in program.outputs.items()}

    @property
    def _arena(self) -> NDArray[np.uint8]:
        return self._arenas[self.program.digest]

    def read_state(self, name: str) -> Array:
        return self.state_spec(name).read(self._arena)

    def reset(self) -> None:
        self.program.reset_states(self._arena)

    def unload(self, program: Program | None = None) -> None:
        for digest in list(self._arenas) if program is None else [program.digest]:
            self._arenas.pop(digest, None)
        if self._program is not None and self._program.digest not in self._arenas:
            self._program = self._state = None

    @property
    def state(self) -> State:
        """All memories after the last run; raises UsageError where nothing has run."""
        if self._state is None:
            raise UsageError("nothing has run on the emulator", "call run(inputs) first")
        return self._state

    def counters(self) -> dict[str, int]:
        """Instructions, array rows and data beats; the emulator has no cycles."""
        state, beat = self.state, self.config.beat_bytes
        return {
            "instructions": len(self.program.instructions),
            "array_rows": state.rows,
            "beats_read": state.bytes_read // beat,
            "beats_written": state.bytes_written // beat,
        }

    def memory(self) -> bytes:
        return np.asarray(self.state.arena).tobytes()

    def close(self) -> None:
        self.unload()
        super().close()
