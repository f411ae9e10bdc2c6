"""How a driver reaches its accelerator: registers, an interrupt, caches before its arena."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Transport"]


class Transport(ABC):
    """One accelerator and the arena that it shares with the host."""

    @abstractmethod
    def read32(self, offset: int) -> int:
        """Register at byte `offset`, 0..2**32-1."""

    @abstractmethod
    def write32(self, offset: int, value: int) -> None:
        """Set the register at byte `offset`."""

    @property
    @abstractmethod
    def arena_address(self) -> int:
        """Physical address of the arena, a multiple of 4096."""

    @abstractmethod
    def wait(self, cycles: int) -> bool:
        """Wait at most as long as `cycles` accelerator cycles last; whether the interrupt came."""

    def limit(self, cycles: int) -> str:
        """How long :meth:`wait` waits, in words."""
        return f"{cycles} cycles"

    def flush(self) -> None:  # noqa: B027 (without a cache there is nothing to do)
        """Make what the host wrote to the arena visible to the accelerator."""

    def invalidate(self) -> None:  # noqa: B027
        """Make what the accelerator wrote to the arena visible to the host."""

    def check(self) -> None:  # noqa: B027 (only a simulation sees writes elsewhere)
        """Raise :class:`~weft.errors.DeviceError` where the accelerator left its arena."""
