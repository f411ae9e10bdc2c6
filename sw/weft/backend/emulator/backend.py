"""The emulator as a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from weft.backend.base import Array, Backend, Capabilities
from weft.errors import UsageError
from weft.program import MAX_ARENA_BYTES, Program
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Unit

from .machine import execute
from .state import State

__all__ = ["EmulatorBackend"]


class EmulatorBackend(Backend):
    """Run programs by the definition of their instructions; no cycles.

    Parameters
    ----------
    config : AcceleratorConfig
    by_loops : bool
        One element at a time; for small programs.
    choose : callable, optional
        Which of the ready units goes next, see :class:`weft.program.queues.QueueMachine`; the
        result of a program that the verifier accepts does not depend on it.
    progress : callable, optional
        Called with (instructions done, instructions of the program).
    """

    name = "emulator"

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        by_loops: bool = False,
        choose: Callable[[list[Unit]], Unit] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._by_loops = by_loops
        self._choose = choose
        self._progress = progress
        self._state: State | None = None

    def capabilities(self) -> Capabilities:
        return Capabilities(cycles=False, memory=True, max_arena_bytes=MAX_ARENA_BYTES)

    def load(self, program: Program) -> None:
        program.require_config(self.config)
        self._program, self._state = program, None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        program = self.program
        self.check_inputs(inputs)
        arena = program.image()
        for name, array in inputs.items():
            program.write_input(arena, name, array)
        self._state = execute(
            self.config,
            program.instructions,
            arena,
            by_loops=self._by_loops,
            choose=self._choose,
            progress=self._progress,
        )
        return {name: program.read_output(arena, name) for name in program.outputs}

    @property
    def state(self) -> State:
        """All memories after the last run.

        Raises
        ------
        UsageError
            Nothing has run.
        """
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
        super().close()
        self._state = None
