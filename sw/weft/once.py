"""What several processes want and one of them makes: caches of builds, behind a lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import weft_hw

__all__ = ["gateware_digest", "locked", "once"]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, against other threads and processes of this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def once(target: Path, make: Callable[[Path], object]) -> Path:
    """Folder `target`, filled by `make` exactly once, however many processes ask.

    Parameters
    ----------
    target : Path
        Folder that appears whole, or not at all; beside it lies its lock, NAME.lock.
    make : function
        Called with an empty folder beside `target`, which is renamed when it returns, and removed
        when it raises.
    """
    if target.exists():
        return target
    with locked(target.with_name(f"{target.name}.lock")):
        if target.exists():
            return target
        temporary = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
        try:
            make(temporary)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return target


def gateware_digest() -> str:
    """Hash of the gateware's sources: Verilog that they wrote is written once."""
    digest = hashlib.sha256()
    for file in sorted(Path(weft_hw.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
