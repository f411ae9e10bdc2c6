"""``weft build``: the overlay bundle of a preset on a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from weft.bundle.manifest import Manifest

from .options import (
    Board,
    Changes,
    Clock,
    Json,
    OutputFolder,
    PresetName,
    Target,
    find_board,
    find_preset,
)
from .output import print_json, progress

__all__ = ["Built", "command"]


@dataclass(frozen=True)
class Built:
    """A bundle."""

    folder: Path
    manifest: Manifest
    virtual: Path
    next_step: str


def command(
    preset: PresetName,
    board: Board,
    output: OutputFolder,
    clock: Clock = 0,
    changes: Changes = [],
    target: Target = "",
    toolchain: Annotated[
        str,
        typer.Option(help="vivado, open, none, or auto: the first of them that is installed."),
    ] = "auto",
    chipdb: Annotated[
        Path | None,
        typer.Option(help="For open: nextpnr-xilinx's chip database; $WEFT_CHIPDB by default."),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(help="For open: Project X-Ray's database; $WEFT_PRJXRAY_DB by default."),
    ] = None,
    json: Json = False,
) -> None:
    """Write Verilog, Vivado Tcl, constraints, .hwh and manifest, and make the bitstream where
    Vivado, or for an xc7z020 the open tools, are installed.

    The clock is the fastest of the board that is not above --clock; the cells are the board's.
    """
    from weft.bundle import Overlay, build

    config = find_preset(preset, changes)
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
        built = Built(bundle.folder, bundle.manifest, bundle.virtual, bundle.next_step)
        print_json("build", [built], config=config)
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
