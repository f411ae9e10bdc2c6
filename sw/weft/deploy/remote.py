"""Put an overlay and a program on a board and check both: what runs where pynq is.

numpy, the contract and pynq only: this runs on a board, and on a host that drives a remote one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from weft.backend.pynq.backend import PynqBackend
from weft.backend.pynq.firmware import FIRMWARE, put_file
from weft.bundle.store import program_name, stage
from weft.program import Program
from weft.results import BESIDE, Count, NonNegative, plain

from .selftest import Report, compare, selftest

__all__ = ["BoardReport", "Delivery", "Deployed", "as_results", "check", "deploy_remote"]


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


@dataclass(frozen=True)
class BoardReport:
    """A program on a board.

    board : what the board calls itself. accelerator_ms : cycles / clock.
    label : whether cycles were counted by a simulation or by a board.
    """

    report: Report = field(metadata=BESIDE)
    accelerator_ms: NonNegative
    board: str
    label: Literal["simulated", "measured"]
    clock_mhz: float


@dataclass(frozen=True)
class Delivery:
    """How a program came to the board.

    stored : where the program lies on the board. uploaded_bytes : of files that were not on the
    board yet.
    """

    transport: Literal["local", "remote", "ssh"]
    stored: str | None
    uploaded_bytes: Count


def check(backend: PynqBackend, program: Program, what: str) -> list[Report]:
    """The self-test of the board, then `program` on random inputs against the emulator.

    Raises
    ------
    DeviceError
        Something differs; the message says what.
    """
    return [selftest(backend), compare(backend, program, np.random.default_rng(0), what)]


def as_results(
    backend: PynqBackend, reports: Sequence[Report], delivery: Delivery | None = None
) -> list[dict[str, Any]]:
    """What ``--json`` prints of `reports`; `delivery` belongs to each of them."""
    more = plain(delivery) if delivery else {}
    found = [
        BoardReport(
            report,
            accelerator_ms=report.cycles / backend.clock_mhz / 1000,
            board=str(backend.loaded.device.name),
            label="simulated" if backend.virtual else "measured",
            clock_mhz=backend.clock_mhz,
        )
        for report in reports
    ]
    return [plain(one) | more for one in found]


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
