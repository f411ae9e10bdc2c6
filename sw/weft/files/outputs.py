"""Files that commands write: whole, or not at all.

Standard library only: this runs on a board.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from weft.errors import UsageError

__all__ = ["check_writable", "make_folder", "replaced", "write_file"]


def check_writable(path: Path) -> None:
    """Refuse an output that could not be written, before the work that fills it.

    Raises
    ------
    UsageError
        Its folder is missing or read-only, or it is a folder itself.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file", "name a file in it")
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise UsageError(f"cannot write to {path}", "name another file")
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder, so {path.name} cannot be written there",
                         "make it, or name another one")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", "name another folder"
        ) from None


def make_folder(path: Path) -> None:
    """Make folder `path`; raises UsageError where it cannot be made or written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError:
        raise UsageError(f"{path} is a file, not a folder", "name another folder") from None
    except OSError as error:
        said = f"cannot write to {path}: {error.strerror}"
        raise UsageError(said, "name another folder") from None


def _is_special(path: Path) -> bool:
    """Whether `path` is a pipe, a terminal or a device, which no rename may replace."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A new file beside `path`, which takes its place when the block is left without an error.

    Where there is an error, a full disk among them, the old file stays and the new one goes. Mode
    and link of an old file are kept. Pipes and devices are written in place.

    Raises
    ------
    UsageError
        The file cannot be written; the sentence holds the system's reason.
    """
    if _is_special(path):
        yield path
        return
    target = path.resolve()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part",
                                        dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "name another file") from None
    partial = Path(name)
    try:
        yield partial
        with contextlib.suppress(OSError):  # a foreign file system may know no modes
            partial.chmod(_mode(target))
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    except OSError as error:
        if error.filename not in (None, name, str(target)):
            raise
        raise UsageError(
            f"cannot write {path}: {error.strerror}",
            "free some space, or name another file; what was there is unchanged",
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _mode(target: Path) -> int:
    """Of the file that is there, else what a new file would have."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def write_file(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` as :func:`replaced` does; text as UTF-8."""
    raw = data.encode("utf-8") if isinstance(data, str) else data
    with replaced(path) as partial:
        partial.write_bytes(raw)
