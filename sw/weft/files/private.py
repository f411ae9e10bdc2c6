"""Folders and lock files that no other user can have made, changed or pointed elsewhere.

Standard library only: this runs on a board.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from weft.errors import UsageError

__all__ = ["closed", "locked", "open_lock", "own_folder", "trusted", "user_folder"]

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def trusted(found: os.stat_result) -> bool:
    """Whether only this user, or root, can have written it."""
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & _OTHERS_WRITE


def own_folder(path: Path) -> Path:
    """`path` as a folder in which nobody else can write; made if it does not exist.

    Raises
    ------
    UsageError
        It belongs to another user, is no folder, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS_WRITE:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
            found = path.stat()
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {path}: {error.strerror}",
            "set WEFT_CACHE to a folder of your own",
        ) from None
    if not trusted(found):
        raise UsageError(
            f"others can write in {path}: owner {found.st_uid}, mode {found.st_mode & 0o7777:o}; "
            "what is built there is loaded",
            "set WEFT_CACHE to a folder of your own",
        )
    return path


def user_folder() -> Path:
    """Folder for this user's locks among those of all: ``/tmp/weft-UID`` where /tmp is that folder.

    Raises
    ------
    UsageError
        Something stands there that is not this user's.
    """
    path = Path(tempfile.gettempdir()) / f"weft-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UsageError(
            f"{path} is not a folder of user {os.geteuid()}", "remove it, or set TMPDIR"
        )
    path.chmod(0o700)
    return path


def open_lock(path: Path, mode: int = 0o600) -> int:
    """Descriptor of the lock file `path`: no link is followed, nothing in it is changed.

    Raises
    ------
    UsageError
        It is a link or no file, or cannot be opened.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            number = os.open(path, flags | os.O_RDWR | os.O_CREAT, mode)
        except PermissionError:  # another user made it; a lock needs no right to write
            number = os.open(path, flags | os.O_RDONLY)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise UsageError(f"cannot open the lock {path}: {why}", "remove it") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise UsageError(f"cannot open the lock {path}: it is no file", "remove it")
    return number


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, against other threads and processes of this machine.

    Raises
    ------
    UsageError
        As :func:`open_lock`.
    """
    number = open_lock(path)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def closed(folder: Path) -> None:
    """Take from others the right to write in `folder`, and to all that it holds."""
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place) / name for name in files)):
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS_WRITE)
