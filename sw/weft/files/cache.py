"""What Weft made, keeps to be faster, and may lose: where it lies, what is in it, how it goes.

Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from weft.errors import UsageError
from weft.files.once import PART
from weft.files.private import open_lock

__all__ = ["KINDS", "Kept", "cache_dir", "clear", "kept"]

#: Folder in the cache -> what is in it.
KINDS: Mapping[str, str] = {
    "rtl": "simulators",
    "verilog": "generated Verilog",
    "tilings": "tilings that the scheduler chose",
}


def cache_dir() -> Path:
    """``$WEFT_CACHE``, or ``weft`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``.

    Source: XDG Base Directory Specification 0.8; a path that is not absolute is ignored.
    """
    chosen = os.environ.get("WEFT_CACHE")
    if chosen:
        return Path(chosen)
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "weft"


@dataclass(frozen=True)
class Kept:
    """An entry: kind is of :data:`KINDS`, seconds since 1970 when it was made."""

    kind: str
    name: str
    bytes: int
    made: float


def _entries(kind: str) -> Iterator[Path]:
    folder = cache_dir() / kind
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink() and path.suffix != PART:
                yield path


def kept() -> list[Kept]:
    """All that is in the cache."""
    found = []
    for kind in KINDS:
        for path in _entries(kind):
            with contextlib.suppress(OSError):  # another process may clear it meanwhile
                size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
                found.append(Kept(kind, path.name, size, path.stat().st_mtime))
    return found


def clear(kinds: list[str] | None = None) -> tuple[list[Kept], list[Kept]]:
    """Remove what is in the cache, but not what a process is making at the moment.

    Parameters
    ----------
    kinds : of :data:`KINDS`; all by default

    Returns
    -------
    (what was removed, what another process holds)

    Raises
    ------
    UsageError
        There is no such kind, or something cannot be removed.
    """
    for kind in kinds or ():
        if kind not in KINDS:
            raise UsageError(f"the cache has no {kind!r}", f"it has {', '.join(KINDS)}")
    removed, busy = [], []
    for one in kept():
        if kinds and one.kind not in kinds:
            continue
        path = cache_dir() / one.kind / one.name
        number = open_lock(path.with_name(f"{path.name}.lock"))
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Out of the way at once: who writes into it meanwhile makes a new one.
            gone = path.with_name(f"{path.name}.{os.getpid()}{PART}")
            path.rename(gone)
            shutil.rmtree(gone)
            removed.append(one)
        except BlockingIOError:
            busy.append(one)
        except FileNotFoundError:  # another process was first
            continue
        except OSError as error:
            raise UsageError(f"cannot remove {path}: {error.strerror}") from None
        finally:
            os.close(number)
    return removed, busy
