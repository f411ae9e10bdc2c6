"""One process of this machine at a time uses a board.

Standard library only: this runs on a board.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from weft.errors import DeviceError

__all__ = ["BoardLock"]


class BoardLock:
    """Held until :meth:`release`, or the end of the process.

    Parameters
    ----------
    host, port : str, int
        The board; "" is the one that this runs on.

    Raises
    ------
    DeviceError
        Another process holds it; the sentence names that process where it can.
    """

    def __init__(self, host: str, port: int) -> None:
        where = f"{host}:{port}" if host else "local"
        digest = hashlib.sha256(where.encode()).hexdigest()[:12]
        path = Path(tempfile.gettempdir()) / f"weft-board-{digest}.lock"
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # another user made it; a lock needs no right to write
            self._file = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip()
            self.release()
            raise DeviceError(
                f"process {holder or 'of another user'} uses the board "
                f"{host or 'of this machine'}",
                "wait for its end or stop it, for example by closing its notebook",
            ) from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        except OSError:  # opened to read only
            pass

    def release(self) -> None:
        """Let others have the board; calling it again does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
