"""``weft deploy``: put an overlay and a program on a board, and check both."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["command"]


def command(
    program: Path = typer.Argument(help="A .weft file."),
    overlay: Path = typer.Option(..., "--overlay", help=".bit, with .hwh and manifest beside it."),
    host: str = typer.Option("", "--host", help="The board; this machine if not given."),
    port: int = typer.Option(7967, "--port", help="Of its PYNQ.remote server."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Load the overlay, run its self-test, then the program against the emulator."""
    from weft.bundle.manifest import Manifest
    from weft.cli.session import open_board, report
    from weft.program import Program
    from weft_hw.pynq_boards import pynq_board

    manifest = Manifest.load(overlay.with_suffix(".json"))
    loaded = Program.load(program, manifest.config)
    board = pynq_board(manifest.board)
    if not json:
        wanted, there = loaded.arena_bytes / 2**20, board.cma_bytes >> 20
        print(f"{program}: needs {wanted:.1f} MiB of {there} MiB contiguous memory", flush=True)
    opened = open_board(overlay, host, port)
    if isinstance(opened, int):
        raise typer.Exit(opened)
    import numpy as np

    from weft.board.selftest import compare, selftest

    with opened:
        reports = [selftest(opened)]
        reports.append(compare(opened, loaded, np.random.default_rng(0), program.name))
        report("deploy", opened, reports, json)
