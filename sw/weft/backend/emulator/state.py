"""What an accelerator holds between two instructions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ErrorCode, Instruction, Space, space_words

__all__ = ["State", "Stop"]


class Stop(Exception):
    """The instruction stops the core with `code`."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class State:
    """All memories of one accelerator, cleared.

    Attributes
    ----------
    arena : uint8 [arena_bytes]
    spaces : Space -> uint8 [bytes of that on-chip memory], as DMA addresses it
    accumulators : int32 [accumulator_rows, C]
    setup : the SETUP in force; None before the first
    rows, bytes_read, bytes_written : int
        Rows that entered the array; bytes moved by loads and stores.
    """

    def __init__(self, config: AcceleratorConfig, arena: NDArray[np.uint8]) -> None:
        self.config = config
        self.arena = arena
        self.spaces = {space: np.zeros(4 * space_words(space, config), np.uint8) for space in Space}
        self.accumulators = np.zeros((config.accumulator_rows, config.cols), np.int32)
        self.setup: Instruction | None = None
        self.rows = 0
        self.bytes_read = 0
        self.bytes_written = 0

    def setting(self, name: str) -> int:
        """A field of the SETUP in force; zero before the first."""
        return self.setup[name] if self.setup else 0
