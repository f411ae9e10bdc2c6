"""What a board in the network is, asked before anything is sent to it.

``python -m weft.backend.pynq.facts HOST PORT``, in an environment with pynq, prints it as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from weft.errors import DeviceError, ToolMissing, UsageError
from weft_hw.boards import PYNQ_BOARDS, Board, pynq_board

from .environment import interpreter
from .identity import by_pynq_name, cma_bytes, is_virtual, require_board

__all__ = ["BoardFacts", "check_host", "remote_facts", "which_board"]

#: A name or an address: nothing that a shell, or a program's option parser, would take otherwise.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:%-]*[A-Za-z0-9])?|[0-9a-fA-F:]*::[0-9a-fA-F:.]*")


@dataclass(frozen=True)
class BoardFacts:
    """What a board says.

    name : as its image calls it, "" or "Unknown" where it does not say.
    meminfo : its /proc/meminfo, or what is known of it. virtual : its logic is simulated.
    """

    name: str
    meminfo: str
    virtual: bool

    def cma_bytes(self, board: Board) -> int:
        """Contiguous memory, or what the image of `board` sets aside."""
        return cma_bytes(self.meminfo, board)


def check_host(host: str) -> None:
    """Refuse what is neither a host name nor an address.

    Raises
    ------
    UsageError
    """
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
    found = by_pynq_name(facts.name)
    if found is None:
        raise UsageError(
            f"the board calls itself {facts.name or 'nothing'}, which Weft does not know",
            f"say what it is with --board: {', '.join(PYNQ_BOARDS)}",
        )
    return found


def remote_facts(host: str, port: int) -> BoardFacts:
    """Ask the PYNQ.remote server at `host`.

    Raises
    ------
    DeviceError
        Nobody answers there.
    ToolMissing
        There is no Python with pynq.
    """
    if importlib.util.find_spec("pynq") is not None:
        return _ask(host, port)
    root = Path(__file__).resolve().parents[3]
    path = [str(root), str(root.parent / "hw"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [_any_python(), "-m", __name__, host, str(port)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    try:
        given = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = f"the Python with pynq does not work: {last}"
        raise ToolMissing(message, "make pynq again") from None
    if "message" in given:
        raise DeviceError(given["message"], given["remedy"])
    return BoardFacts(**given)


def _any_python() -> str:
    """A Python with any pynq: they agree on reading files."""
    versions = list(dict.fromkeys(b.pynq.package for b in PYNQ_BOARDS.values()))
    for version in versions[:-1]:
        try:
            return interpreter(version)
        except ToolMissing:
            continue
    return interpreter(versions[-1])


def _ask(host: str, port: int) -> BoardFacts:
    from .firmware import read_file
    from .load import connect

    device = connect(host, port)
    text = (read_file(device, "/proc/meminfo") or b"").decode(errors="replace")
    return BoardFacts(str(device.name), text, is_virtual(device))


def _main(arguments: list[str]) -> None:
    output, sys.stdout = sys.stdout, sys.stderr  # pynq prints
    try:
        answer = asdict(_ask(arguments[0], int(arguments[1])))
    except DeviceError as error:
        answer = {"message": error.message, "remedy": error.remedy}
    print(json.dumps(answer), file=output)


if __name__ == "__main__":
    _main(sys.argv[1:])
