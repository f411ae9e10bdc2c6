"""What a boot loader made by Vivado sets up for the logic of a Zynq-7000, done by the driver.

A bitstream of the open tools comes without one. Register facts: UG585, appendix B (SLCR, AXI_HP).
Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["AFI", "SLCR", "enable_ports"]

SLCR = 0xF800_0000
#: Register blocks of S_AXI_HP0 to S_AXI_HP3.
AFI = tuple(0xF800_8000 + 0x1000 * i for i in range(4))
_PAGE = 0x1000
_UNLOCK, _LOCK_STATUS, _UNLOCK_KEY = 0x008, 0x00C, 0xDF0D
#: Level shifters between processor and logic: all on.
_LEVEL_SHIFTERS, _ALL_ON = 0x900, 0xF
#: Reset outputs to the logic, a bit each; number 0 is the design's.
_RESETS, _RESET_0 = 0x240, 1
#: AFI_RDCHAN_CTRL and AFI_WRCHAN_CTRL; bit 0 makes the port 32 bits wide, the others stay.
_CHANNELS, _NARROW = (0x00, 0x14), 1


def enable_ports(mmio: Callable[[int, int], Any], ports: Iterable[int]) -> None:
    """Connect processor and logic, make `ports` 64 bits wide, and reset the logic.

    Parameters
    ----------
    mmio : callable(address, bytes) -> object with ``read(offset)`` and ``write(offset, value)``
        ``pynq.MMIO`` of the board.
    ports : numbers of S_AXI_HP ports
    """
    slcr = mmio(SLCR, _PAGE)
    if _word(slcr.read(_LOCK_STATUS)) & 1:
        slcr.write(_UNLOCK, _UNLOCK_KEY)
    slcr.write(_LEVEL_SHIFTERS, _ALL_ON)
    for number in ports:
        afi = mmio(AFI[number], _PAGE)
        for offset in _CHANNELS:
            afi.write(offset, _word(afi.read(offset)) & ~_NARROW)
    held = _word(slcr.read(_RESETS))
    slcr.write(_RESETS, held | _RESET_0)
    slcr.write(_RESETS, held & ~_RESET_0)


def _word(value: Any) -> int:
    """As an unsigned word: older remote clients return signed ones."""
    return int(value) & 0xFFFF_FFFF
