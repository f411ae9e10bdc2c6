"""Put an overlay and a program on a board and check both: what runs where pynq is.

numpy, the contract and pynq only: this runs on a board, and on a host that drives a remote one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weft.backend.pynq.backend import PynqBackend
from weft.backend.pynq.firmware import FIRMWARE, put_file
from weft.bundle.store import program_name, stage
from weft.program import Program

from .selftest import Report, compare, selftest

__all__ = ["Deployed", "as_results", "check", "deploy_remote"]


@dataclass(frozen=True)
class Deployed:
    """What a deployment did.

    backend : open still. reports : self-test, then program. stored : path of the program on the
    board. uploaded_bytes : of files that were not there yet.
    """

    backend: PynqBackend
    reports: list[Report]
    stored: str
    uploaded_bytes: int


def check(backend: PynqBackend, program: Program, what: str) -> list[Report]:
    """The self-test of the board, then `program` on random inputs against the emulator.

    Raises
    ------
    DeviceError
        Something differs; the message says what.
    """
    return [selftest(backend), compare(backend, program, np.random.default_rng(0), what)]


def as_results(
    backend: PynqBackend, reports: Sequence[Report], **more: Any
) -> list[dict[str, Any]]:
    """What ``--json`` prints of `reports`; `more` belongs to each of them."""
    shared = {
        "board": str(backend.loaded.device.name),
        "label": "simulated" if backend.virtual else "measured",
        "clock_mhz": backend.clock_mhz,
        **more,
    }
    return [
        {**r.as_dict(), "accelerator_ms": r.cycles / backend.clock_mhz / 1000, **shared}
        for r in reports
    ]


def deploy_remote(path: Path, program: Program, overlay: Path, host: str, port: int) -> Deployed:
    """Upload overlay and program over PYNQ.remote, and check them.

    The files have names of their content, and are read back: an upload that was interrupted before
    is replaced.

    Parameters
    ----------
    path, program : the program's file, and what it holds
    overlay : the .bit, with .hwh and manifest beside it

    Raises
    ------
    DeviceError
        The board does not answer, refuses a file, or computes something else.
    Mismatch
        Program, overlay and board do not belong together.
    """
    program_bytes = path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        backend = PynqBackend(stage(overlay, Path(folder)), host, port)
    try:
        stored = FIRMWARE + program_name(path.stem, program_bytes)
        written = put_file(backend.loaded.device, stored, program_bytes)
        reports = check(backend, program, path.name)
    except BaseException:
        backend.close()
        raise
    return Deployed(backend, reports, stored, len(program_bytes) if written else 0)
