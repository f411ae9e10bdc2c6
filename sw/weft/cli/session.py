"""Open a board for a command, under a Python that has pynq, and print what it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from weft.board.environment import delegate
from weft.bundle.manifest import Manifest
from weft.cli.output import print_json, print_table
from weft_hw.pynq_boards import pynq_board

if TYPE_CHECKING:
    from weft.backend.pynq import PynqBackend
    from weft.board.selftest import Report

__all__ = ["open_board", "report"]


def open_board(overlay: Path, host: str, port: int) -> PynqBackend | int:
    """The board, or the exit code of the Python that did the work in its place."""
    manifest = Manifest.load(overlay.with_suffix(".json"))
    if host:
        code = delegate(pynq_board(manifest.board).pynq)
        if code is not None:
            return code
    from weft.backend.pynq import PynqBackend

    return PynqBackend(overlay, host, port)


def report(command: str, backend: PynqBackend, reports: Sequence[Report], as_json: bool) -> None:
    """Print results as the command line does."""
    config = backend.config
    if as_json:
        results = [{**r.as_dict(), "clock_mhz": backend.clock_mhz} for r in reports]
        print_json(command, results, config=config)
        return
    device = backend.loaded.device
    print_table(
        f"{device.name}: {config.name} ({config.hash}) at {backend.clock_mhz:g} MHz",
        ("what", "cycles", "accelerator ms", "run ms", "register accesses", "equals emulator"),
        [
            (
                r.what,
                f"{r.cycles:,}",
                f"{r.cycles / backend.clock_mhz / 1000:.3f}",
                f"{r.seconds * 1000:.1f}",
                r.accesses,
                "yes",
            )
            for r in reports
        ],
    )
