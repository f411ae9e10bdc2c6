"""What a board says of itself: its name, its contiguous memory, whether it is simulated.

Standard library and contract only: this runs on a board.
"""

from __future__ import annotations

import re
from typing import Any

from weft.errors import Mismatch, Unsupported
from weft_hw.boards import PYNQ_BOARDS, Board, pynq_board

__all__ = ["COUNTS_FILE", "by_pynq_name", "cma_bytes", "is_virtual", "require_board", "require_cma"]

#: A virtual board has this file: its counters as JSON. No other board has it.
COUNTS_FILE = "/weft/counts"
#: What pynq calls a board that does not say what it is.
_NAMELESS = ("", "unknown")


def by_pynq_name(name: str) -> Board | None:
    """The board that PYNQ images call `name`; None where Weft does not know it."""
    return next((b for b in PYNQ_BOARDS.values() if b.pynq.name.lower() == name.lower()), None)


def require_board(wanted: str, found: str, why: str = "the overlay is for") -> None:
    """Refuse a board that calls itself something else; one without a name passes.

    Parameters
    ----------
    wanted : str
        Name of a board of Weft.
    found : str
        What the board itself, or its image, says.

    Raises
    ------
    Mismatch
        The sentence names both.
    """
    name = pynq_board(wanted).pynq.name
    if found.lower() not in (*_NAMELESS, name.lower()):
        raise Mismatch(
            f"{why} {wanted} ({name}), the board says that it is {found}",
            "take the overlay of this board, or another address",
        )


def is_virtual(device: Any) -> bool:
    """Whether pynq's `device` is a virtual board."""
    exists = getattr(device, "exists_file", None)
    return exists is not None and bool(exists(COUNTS_FILE).exists)


def cma_bytes(meminfo: str, board: Board) -> int:
    """Contiguous memory from the text of /proc/meminfo, or what the board's image sets aside."""
    found = re.search(r"^CmaTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) << 10 if found else board.pynq.cma_bytes


def require_cma(program: str, needed: int, there: int) -> None:
    """Refuse a program whose arena is larger than the board's contiguous memory, both in bytes.

    Raises
    ------
    Unsupported
        The remedy names the kernel argument.
    """
    if needed > there:
        megabytes = 1 << (-(-needed // 2**20) - 1).bit_length()
        raise Unsupported(
            f"{program} needs {needed / 2**20:.1f} MiB of contiguous memory, the board has "
            f"{there / 2**20:.1f} MiB",
            f"add cma={megabytes}M to the kernel arguments and restart the board",
        )
