"""What a Python with pynq does for one without: ``python -m weft.backend.pynq.server``.

Its requests come from :mod:`.process`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

from weft.program import Array, Program

from .backend import PynqBackend
from .firmware import put_file, read_file
from .frames import Operation, answer_requests
from .identity import BoardFacts, is_virtual
from .load import connect

__all__ = ["main"]

#: Methods of an open board that are operations as they are.
_METHODS = ("counters", "memory", "read_state", "reset", "check_registers")


def _facts(host: str, port: int) -> dict[str, Any]:
    """Fields of BoardFacts; nothing is sent to the board."""
    device = connect(host, port)
    text = (read_file(device, "/proc/meminfo") or b"").decode(errors="replace")
    return asdict(BoardFacts(str(device.name), text, is_virtual(device)))


def _of(board: PynqBackend) -> dict[str, Operation]:
    """The operations of an open board, which knows programs by their digests."""
    programs: dict[str, Program] = {}

    def load(digest: str, content: bytes) -> None:
        if content:
            programs[digest] = Program.from_bytes(content)
        board.load(programs[digest])

    def unload(digest: str | None) -> None:
        if digest is None:
            board.unload()
            programs.clear()
        elif digest in programs:
            board.unload(programs.pop(digest))

    def run(inputs: dict[str, Array], patches: dict[str, int]) -> dict[str, Any]:
        return {"outputs": board.run(inputs, patches), **board.cost._asdict()}

    methods = {name: getattr(board, name) for name in _METHODS}
    methods["put_file"] = partial(put_file, board.loaded.device)
    return {"load": load, "unload": unload, "run": run, **methods}


def main() -> None:
    """Answer until the input ends, then give the board back."""
    with ExitStack() as held:

        def open_board(bitstream: str, host: str, port: int) -> dict[str, Any]:
            board = held.enter_context(PynqBackend(bitstream, host, port))
            operations.update(_of(board))
            return {"clock_mhz": board.clock_mhz, "virtual": board.virtual, "board": board.board}

        operations: dict[str, Operation] = {"facts": _facts, "open": open_board}
        answer_requests(operations)


if __name__ == "__main__":
    main()
