"""What a board says of itself: its name, its contiguous memory, whether it is simulated.

Standard library and contract only: this runs on a board.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from weft.errors import Mismatch, Unsupported, UsageError
from weft_hw.boards import PYNQ_BOARDS, Board, pynq_board

__all__ = [
    "COUNTS_FILE",
    "BoardFacts",
    "check_host",
    "is_remote",
    "is_virtual",
    "require_board",
    "require_cma",
    "sentence",
    "which_board",
]

#: A virtual board has this file: its counters as JSON. No other board has it.
COUNTS_FILE = "/weft/counts"
#: What pynq calls a board that does not say what it is.
_NAMELESS = ("", "unknown")
#: A name or an address: nothing that a shell, or a program's option parser, would take otherwise.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:%-]*[A-Za-z0-9])?|[0-9a-fA-F:]*::[0-9a-fA-F:.]*")


@dataclass(frozen=True)
class BoardFacts:
    """What a board says, asked before anything is sent to it.

    name : as its image calls it, "" or "Unknown" where it does not say.
    meminfo : its /proc/meminfo, or what is known of it. virtual : its logic is simulated.
    """

    name: str
    meminfo: str
    virtual: bool

    def cma_bytes(self, board: Board) -> int:
        """Contiguous memory, or what the image of `board` sets aside."""
        found = re.search(r"^CmaTotal:\s+(\d+) kB", self.meminfo, re.MULTILINE)
        return int(found[1]) << 10 if found else board.pynq.cma_bytes


def check_host(host: str) -> None:
    """Refuse what is neither a host name nor an address; raises UsageError."""
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise UsageError(
            f"--host must be a name or an address, not {host!r}", "for example 192.168.2.99"
        )


def which_board(facts: BoardFacts, asked: str | None) -> Board:
    """The board at the other end, which has to be `asked` where that is given.

    Raises
    ------
    Mismatch
        It says that it is another one.
    UsageError
        It does not say what it is, and nobody else does.
    """
    if asked is not None:
        require_board(asked, facts.name, "--board is")
        return pynq_board(asked)
    for board in PYNQ_BOARDS.values():
        if board.pynq.name.lower() == facts.name.lower():
            return board
    raise UsageError(
        f"the board calls itself {facts.name or 'nothing'}, which Weft does not know",
        f"say what it is with --board: {', '.join(PYNQ_BOARDS)}",
    )


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


def is_remote(device: Any) -> bool:
    """Whether pynq's `device` is reached over PYNQ.remote."""
    return bool(getattr(device, "has_capability", lambda _: False)("REMOTE"))


def is_virtual(device: Any) -> bool:
    """Whether pynq's `device` is a virtual board."""
    exists = getattr(device, "exists_file", None)
    return exists is not None and bool(exists(COUNTS_FILE).exists)


def sentence(error: Exception) -> str:
    """First line of what a gRPC error tells in detail, or of the message of any other error."""
    details = getattr(error, "details", None)
    text = str(details() if callable(details) else error).strip()
    return text.splitlines()[0] if text else type(error).__name__


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
