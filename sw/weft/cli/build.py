"""``weft build``: the overlay bundle of a preset on a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .output import print_json, progress

__all__ = ["command"]


def command(
    preset: options.PresetName,
    board: options.Board,
    output: options.OutputFolder,
    clock: options.Clock = 0,
    changes: options.Changes = [],
    target: options.Target = "",
    toolchain: Annotated[
        str, typer.Option(help="vivado, open, none, or auto: the first of them that is installed.")
    ] = "auto",
    chipdb: Annotated[
        Path | None,
        typer.Option(help="For open: nextpnr-xilinx's chip database; $WEFT_CHIPDB by default."),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(help="For open: Project X-Ray's database; $WEFT_PRJXRAY_DB by default."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write Verilog, Vivado Tcl, constraints, .hwh and manifest, and make the bitstream where
    Vivado, or for an xc7z020 the open tools, are installed.

    The clock is the fastest of the board that is not above --clock; the cells are the board's.
    """
    from weft.bundle import Overlay, build
    from weft.synth.flows import leave_a_margin

    config = options.find_preset(preset, changes)
    overlay = Overlay(config, options.find_board(board), clock or config.clock_mhz, target)
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
        print_json("build", [bundle], config=config)
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
        if bundle.manifest.untimed:
            print(f"  {leave_a_margin(bundle.manifest.untimed)}")
    print(f"  for a virtual board: {bundle.virtual}")
