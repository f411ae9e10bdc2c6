"""Open a board for a command, under a Python that has pynq, and print what it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.backend.pynq.environment import delegate
from weft.bundle.manifest import Manifest
from weft_hw.boards import pynq_board
from weft_hw.config import AcceleratorConfig

from .output import print_json, print_table

if TYPE_CHECKING:
    from weft.backend.pynq.backend import PynqBackend

__all__ = ["open_board", "show_results"]


def open_board(overlay: Path, host: str, port: int) -> PynqBackend | int:
    """The board, or the exit code of the Python that did the work in its place."""
    manifest = Manifest.load(overlay.with_suffix(".json"))
    if host:
        from weft.backend.pynq.facts import check_host

        check_host(host)
        code = delegate(pynq_board(manifest.board).pynq.package, "--overlay", str(overlay))
        if code is not None:
            return code
    from weft.backend.pynq.backend import PynqBackend

    return PynqBackend(overlay, host, port)


def show_results(
    command: str, config: AcceleratorConfig, results: Sequence[dict[str, Any]], as_json: bool
) -> None:
    """Print results as the command line does."""
    if as_json:
        print_json(command, results, config=config)
        return
    first = results[0]
    print_table(
        f"{first['board']}: {config.name} ({config.hash}) at {first['clock_mhz']:g} MHz, "
        f"accelerator times are {first['label']}",
        ("what", "cycles", "accelerator ms", "run ms", "register accesses", "equals emulator"),
        [
            (
                r["what"],
                f"{r['cycles']:,}",
                f"{r['accelerator_ms']:.3f}",
                f"{r['seconds'] * 1000:.1f}",
                r["accesses"],
                "yes",
            )
            for r in results
        ],
    )
