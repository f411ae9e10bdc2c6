"""How a driver reaches its accelerator: registers, one arena, an interrupt."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

__all__ = ["Transport"]


class Transport(ABC):
    """One accelerator and the memory that it shares with the host."""

    @abstractmethod
    def read32(self, offset: int) -> int:
        """Register at byte `offset`, 0..2**32-1."""

    @abstractmethod
    def write32(self, offset: int, value: int) -> None:
        """Set the register at byte `offset`."""

    @abstractmethod
    def allocate(self, size: int) -> None:
        """Make `arena` a zeroed one of `size` bytes; the one before is given back."""

    @property
    @abstractmethod
    def arena(self) -> NDArray[np.uint8]:
        """The arena, uint8 [size], a view that the host reads and writes."""

    @property
    @abstractmethod
    def arena_address(self) -> int:
        """Physical address of the arena, a multiple of 4096."""

    @abstractmethod
    def wait(self, cycles: int) -> bool:
        """Wait for the interrupt, at most as long as `cycles` accelerator cycles last.

        Returns
        -------
        Whether the interrupt came.
        """

    def limit(self, cycles: int) -> str:
        """How long :meth:`wait` waits, in words."""
        return f"{cycles} cycles"

    def flush(self) -> None:  # noqa: B027 (without a cache there is nothing to do)
        """Make what the host wrote to the arena visible to the accelerator."""

    def invalidate(self) -> None:  # noqa: B027
        """Make what the accelerator wrote to the arena visible to the host."""

    def check(self) -> None:  # noqa: B027 (only a simulation sees writes elsewhere)
        """Raise :class:`~weft.errors.DeviceError` where the accelerator left its arena."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""
