"""What a Python with pynq does for one without: ``python -m weft.backend.pynq.server``.

Its requests come from :mod:`.process`. It holds one board at a time, and its programs by digest.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from weft.errors import UsageError
from weft.program import Program

from .backend import PynqBackend
from .firmware import read_file
from .frames import answer_requests, pack, unpack
from .identity import BoardFacts, is_virtual
from .load import connect

__all__ = ["BoardServer"]

#: JSON values and bytes.
Answer = tuple[dict[str, Any], bytes]


class BoardServer:
    """The operations; each takes the bytes of its request and arguments by keyword."""

    def __init__(self) -> None:
        self._backend: PynqBackend | None = None
        self._programs: dict[str, Program] = {}

    @property
    def _board(self) -> PynqBackend:
        if self._backend is None:
            raise UsageError("no board is open", "ask for open first")
        return self._backend

    def facts(self, _: bytes, *, host: str, port: int) -> Answer:
        """What the board at `host` says of itself; nothing is sent to it."""
        device = connect(host, port)
        text = (read_file(device, "/proc/meminfo") or b"").decode(errors="replace")
        return asdict(BoardFacts(str(device.name), text, is_virtual(device))), b""

    def open(self, _: bytes, *, bitstream: str, host: str, port: int) -> Answer:
        """Load an overlay."""
        self.close()
        board = self._backend = PynqBackend(Path(bitstream), host, port)
        known = {"clock_mhz": board.clock_mhz, "virtual": board.virtual, "board": board.board}
        return known, b""

    def load(self, data: bytes, *, digest: str) -> Answer:
        """Load a program, whose file comes along the first time."""
        if data:
            self._programs[digest] = Program.from_bytes(data)
        self._board.load(self._programs[digest])
        return {}, b""

    def unload(self, _: bytes, *, digest: str | None) -> Answer:
        """Give back what is held for one program, or for all."""
        self._board.unload()
        self._programs.clear()
        return {}, b""

    def run(self, data: bytes, *, arrays: list[list[Any]]) -> Answer:
        """Run the loaded program."""
        board = self._board
        heads, found = pack(board.run(unpack(arrays, data)))
        return {"arrays": heads, "cost": asdict(board.cost)}, found

    def counters(self, _: bytes) -> Answer:
        """Counters of the last run."""
        return self._board.counters(), b""

    def memory(self, _: bytes) -> Answer:
        """The arena after the last run."""
        return {}, self._board.memory()

    def check_registers(self, _: bytes) -> Answer:
        """Whether registers keep what is written, and fit the configuration."""
        self._board.check_registers()
        return {}, b""

    def put_file(self, data: bytes, *, path: str) -> Answer:
        """Write a file of the board."""
        return {"written": self._board.put_file(path, data)}, b""

    def close(self) -> None:
        """Give the board back."""
        if self._backend is not None:
            self._backend.close()
        self._backend = None
        self._programs.clear()


def main() -> None:
    """Answer until the input ends."""
    server = BoardServer()
    names = "facts open load unload run counters memory check_registers put_file"
    try:
        answer_requests({name: getattr(server, name) for name in names.split()})
    finally:
        server.close()


if __name__ == "__main__":
    main()
