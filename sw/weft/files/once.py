"""What several processes want and one of them makes: caches of builds, behind a lock.

What is kept gets loaded into processes, so it is taken only where nobody else can have written it
and its files are those that were made: else it is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import weft_hw
from weft.errors import UsageError
from weft.files.private import closed, locked, open_lock, own_folder, trusted

__all__ = ["PART", "gateware_digest", "once"]

#: Beside the files of a folder: name of the folder, SHA-256 of each file.
_DIGESTS = "digests.json"
#: End of the names of folders in the making, or on their way out.
PART = ".part"


def once(target: Path, make: Callable[[Path], object]) -> Path:
    """Folder `target`, filled by `make` exactly once, however many processes ask.

    A folder that another user can have written, or whose files are not those that were made, is
    made again.

    Parameters
    ----------
    target : Path
        Folder that appears whole, or not at all; beside it lies its lock, NAME.lock. What killed
        processes left in the making there is removed.
    make : function
        Called with an empty folder beside `target`, which is renamed when it returns, and removed
        when it raises.

    Raises
    ------
    UsageError
        The folder around `target` cannot be made, or others can write in it; or what stands at
        `target` cannot be removed.
    """
    own_folder(target.parent)
    if _whole(target):
        return target
    with locked(target.with_name(f"{target.name}.lock")):
        _sweep(target.parent, target.name)
        if _whole(target):
            return target
        _remove(target)
        temporary = Path(tempfile.mkdtemp(f"{PART}", f"{target.name}.", target.parent))
        try:
            make(temporary)
            closed(temporary)
            _write_digests(temporary, target.name)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return target


def _whole(target: Path) -> bool:
    """Whether `target` is what was made under this name, by this user or root."""
    try:
        if not _ours(target, stat.S_ISDIR) or not _ours(target / _DIGESTS, stat.S_ISREG):
            return False
        record = json.loads((target / _DIGESTS).read_text(encoding="utf-8"))
        return record["name"] == target.name and all(
            _ours(target / name, stat.S_ISREG) and _sha256(target / name) == digest
            for name, digest in record["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _ours(path: Path, kind: Callable[[int], bool]) -> bool:
    found = path.lstat()
    return kind(found.st_mode) and trusted(found)


def _write_digests(folder: Path, name: str) -> None:
    files = {
        str(path.relative_to(folder)): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    path = folder / _DIGESTS
    path.write_text(json.dumps({"name": name, "files": files}, indent=1), encoding="utf-8")
    path.chmod(0o600)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path} is not what was built there, and cannot be removed: {error.strerror}",
            "remove it",
        ) from None


def _sweep(folder: Path, own: str) -> None:
    """Remove what is in the making there although nobody holds its lock; that of `own` is held."""
    for path in folder.glob(f"*{PART}"):
        name = path.name.removesuffix(PART).rpartition(".")[0]
        if name == own:
            shutil.rmtree(path, ignore_errors=True)
            continue
        with contextlib.suppress(BlockingIOError, UsageError):
            number = open_lock(folder / f"{name}.lock")
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(number)


def gateware_digest() -> str:
    """Hash of the gateware's sources: Verilog that they wrote is written once."""
    digest = hashlib.sha256()
    for file in sorted(Path(weft_hw.__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
