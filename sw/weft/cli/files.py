"""Files of the command line: an unreadable or unwritable one is a usage error."""

from __future__ import annotations

import tempfile
from pathlib import Path

from weft.errors import UsageError

__all__ = ["make_folder", "read_bytes", "read_text", "write_bytes"]


def read_bytes(path: Path) -> bytes:
    """Content of `path`; raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "name a file") from None


def read_text(path: Path) -> str:
    """Content of `path` as UTF-8; raises UsageError."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "name a text file") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`; raises UsageError."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "name another file") from None


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
