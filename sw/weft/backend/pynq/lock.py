"""One process of this machine at a time uses a board.

Standard library only: this runs on a board.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from weft.errors import DeviceError, UsageError
from weft.files.private import open_lock

__all__ = ["BoardLock"]

#: Bytes of the file: the number of the process that holds the board.
_RECORD = 20


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
            self._file = open_lock(path, 0o644)
        except UsageError as error:
            raise DeviceError(error.message, error.remedy) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, _RECORD, 0).decode(errors="replace").strip()
            self.release()
            raise DeviceError(
                f"process {holder or 'of another user'} uses the board "
                f"{host or 'of this machine'}",
                "wait for its end or stop it, for example by closing its notebook",
            ) from None
        found = os.fstat(self._file)
        # A file of someone else, or one with a second name, is no lock of ours to write in.
        if found.st_uid == os.geteuid() and found.st_nlink == 1 and found.st_size in (0, _RECORD):
            os.pwrite(self._file, f"{os.getpid():<{_RECORD}}".encode(), 0)

    def release(self) -> None:
        """Let others have the board; calling it again does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
