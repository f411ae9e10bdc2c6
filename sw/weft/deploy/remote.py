"""Put an overlay and a program on a board that pynq reaches, and check both."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from weft.backend.pynq.firmware import FIRMWARE
from weft.backend.pynq.process import PynqProcess
from weft.bundle.store import program_name, stage
from weft.program import Program

from .selftest import check

__all__ = ["deploy_local", "deploy_remote"]


def deploy_local(path: Path, program: Program, overlay: Path) -> list[dict[str, Any]]:
    """Load the board that this runs on, and check it; as :func:`deploy_remote`."""
    with PynqProcess(overlay) as backend:
        more = {"transport": "local", "stored": str(path), "uploaded_bytes": 0}
        return check(backend, program, path.name, **more)


def deploy_remote(
    path: Path, program: Program, overlay: Path, host: str, port: int
) -> list[dict[str, Any]]:
    """Upload overlay and program over PYNQ.remote, and check them.

    The files have names of their content, and are read back: an upload that was interrupted before
    is replaced.

    Parameters
    ----------
    path, program : the program's file, and what it holds
    overlay : the .bit, with .hwh and manifest beside it

    Returns
    -------
    As ``weft deploy --json`` prints them.

    Raises
    ------
    DeviceError
        The board does not answer, refuses a file, or computes something else.
    Mismatch
        Program, overlay and board do not belong together.
    """
    content = path.read_bytes()
    stored = FIRMWARE + program_name(path.stem, content)
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        backend = PynqProcess(stage(overlay, Path(folder)), host, port)
    with backend:
        sent = len(content) if backend.put_file(stored, content) else 0
        more = {"transport": "remote", "stored": stored, "uploaded_bytes": sent}
        return check(backend, program, path.name, **more)
