"""Put an overlay and a program on a board that pynq reaches, and check both."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from weft.backend.pynq.firmware import FIRMWARE
from weft.backend.pynq.process import PynqProcess
from weft.bundle.store import program_name, stage
from weft.program import Program
from weft.results import Count, plain

from .selftest import check

__all__ = ["Delivery", "deploy"]


@dataclass(frozen=True)
class Delivery:
    """How a program came to the board.

    stored : where the program lies on the board. uploaded_bytes : of files that were not on the
    board yet.
    """

    transport: Literal["local", "remote", "ssh"]
    stored: str | None
    uploaded_bytes: Count


def deploy(
    path: Path, program: Program, overlay: Path, host: str, port: int
) -> list[dict[str, Any]]:
    """Bring overlay and program to a board, and check both.

    Over PYNQ.remote the files have names of their content, and are read back: an upload that was
    interrupted before is replaced.

    Parameters
    ----------
    path, program : the program's file, and what it holds
    overlay : the .bit, with .hwh and manifest beside it
    host, port : of the PYNQ.remote server; "" is the board that this runs on

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
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        there = stage(overlay, Path(folder)) if host else overlay
        backend = PynqProcess(there, host, port)
    stored, sent = str(path), 0
    with backend:
        if host:
            stored = FIRMWARE + program_name(path.stem, content)
            sent = len(content) if backend.put_file(stored, content) else 0
        delivery = plain(Delivery("remote" if host else "local", stored, sent))
        return [plain(report) | delivery for report in check(backend, program, path.name)]
