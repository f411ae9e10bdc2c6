"""``weft build``: the overlay bundle of a preset on a board."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from .output import find_preset, print_json, progress

__all__ = ["command"]


def command(
    preset: str = typer.Argument(help="Name of a preset; see weft presets."),
    board: str = typer.Option(..., "--board", help="pynq-z2, pynq-z1, zcu104, kv260 or aup-zu3."),
    output: Path = typer.Option(..., "-o", "--output", help="Folder; made if absent."),
    clock: Optional[float] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--clock", help="MHz; the fastest clock of the board not above it is taken."
    ),
    changes: Optional[list[str]] = typer.Option(  # noqa: UP045
        None, "--set", help="NAME=VALUE of a parameter that differs from the preset."
    ),
    target: str = typer.Option(
        "", help="Form of the cells: portable, xc7, xcup, xcup-uram; the board's by default."
    ),
    toolchain: str = typer.Option(
        "auto", help="vivado, open, none, or auto: the first of them that is installed."
    ),
    chipdb: Optional[Path] = typer.Option(  # noqa: UP045
        None, help="For open: nextpnr-xilinx's chip database; $WEFT_CHIPDB by default."
    ),
    database: Optional[Path] = typer.Option(  # noqa: UP045
        None, help="For open: Project X-Ray's database; $WEFT_PRJXRAY_DB by default."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Write Verilog, Vivado Tcl, constraints, .hwh and manifest, and make the bitstream where
    Vivado, or for an xc7z020 the open tools, are installed."""
    from weft.bundle import Overlay, build
    from weft.errors import UsageError

    from .lookup import changed, find_board

    config = changed(find_preset(preset), changes or [])
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o must be a folder, not the file {output}", "name another")
    overlay = Overlay(config, find_board(board), clock or config.clock_mhz, target)
    with progress("building") as advance:
        bundle = build(
            overlay,
            output,
            toolchain=toolchain,
            chipdb=chipdb,
            database=database,
            progress=lambda text: advance(0, text=text),
        )
    if json:
        result = {
            "folder": str(bundle.folder),
            "manifest": bundle.manifest.as_dict(),
            "virtual": str(bundle.virtual),
            "next_step": bundle.next_step,
        }
        print_json("build", [result], config=config)
        return
    print(
        f"{overlay.name}: {config.name} on {board} at {overlay.clock.mhz:g} MHz, "
        f"{overlay.target} cells, in {output}"
    )
    if overlay.clock.mhz != overlay.requested_mhz:
        print(
            f"  the dividers of {board} give {overlay.clock.mhz:g} MHz, "
            f"not {overlay.requested_mhz:g}"
        )
    if bundle.next_step:
        print(f"  no bitstream yet. Where Vivado is installed, run:\n    {bundle.next_step}")
    else:
        slack = ", ".join(f"{name} {value:g}" for name, value in bundle.manifest.timing.items())
        print(f"  bitstream by {bundle.manifest.kind}: {slack}")
    print(f"  for a virtual board: {bundle.virtual}")
