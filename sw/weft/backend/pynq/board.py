"""What a board can do beside running programs, whichever process drives it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from weft.backend.base import Backend, Capabilities

from .transport import PAGE

__all__ = ["Board", "RunCost"]


@dataclass(frozen=True)
class RunCost:
    """What one run took of the host: wall time with the driver, and register accesses."""

    seconds: float = 0.0
    accesses: int = 0


class Board(Backend):
    """A backend whose accelerator is on a board, real or virtual."""

    name = "pynq"
    #: Clock of the accelerator, as read back.
    clock_mhz: float
    #: Whether the programmable logic is simulated, so that cycles are those of the RTL.
    virtual: bool
    #: What the board calls itself.
    board: str
    #: Of the last run.
    cost = RunCost()

    def capabilities(self) -> Capabilities:
        return Capabilities(cycles=True, memory=True, max_arena_bytes=(1 << 32) - PAGE)

    @abstractmethod
    def check_registers(self) -> None:
        """Write and read registers; all programs are unloaded.

        Raises
        ------
        DeviceError
            They do not keep what is written, or are not those of this configuration.
        """
