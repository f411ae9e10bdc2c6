"""Open a board for a command, under a Python that has pynq, and print what it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.board.environment import delegate
from weft.bundle.manifest import Manifest
from weft.cli.output import print_json, print_table
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig
from weft_hw.pynq_boards import pynq_board

if TYPE_CHECKING:
    from weft.backend.pynq import PynqBackend

__all__ = ["open_board", "resolve_overlay", "show_results"]


def resolve_overlay(
    config: AcceleratorConfig, overlay: Path | None, host: str, port: int, board: str | None = None
) -> Path:
    """`overlay`, or the one of `config` that the board at `host` can be loaded with.

    Raises
    ------
    UsageError, Mismatch, DeviceError
        There is none, the board is not `board`, or it does not answer.
    """
    if overlay is not None:
        return overlay
    from weft.board.facts import check_host, remote_facts, which_board
    from weft.board.overlays import choose, find

    if not host:
        found = find(config, board)[0]
        if found.manifest.kind == "virtual":
            raise UsageError(
                f"the overlays of {config.name} ({config.hash}) are for virtual boards only",
                "build one with Vivado, then weft bitstreams add",
            )
        return found.bitstream
    check_host(host)
    facts = remote_facts(host, port)
    return choose(config, which_board(facts, board).name, facts.virtual).bitstream


def open_board(overlay: Path, host: str, port: int) -> PynqBackend | int:
    """The board, or the exit code of the Python that did the work in its place."""
    manifest = Manifest.load(overlay.with_suffix(".json"))
    if host:
        from weft.board.facts import check_host

        check_host(host)
        code = delegate(pynq_board(manifest.board).pynq, "--overlay", str(overlay))
        if code is not None:
            return code
    from weft.backend.pynq import PynqBackend

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
