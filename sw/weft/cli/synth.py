"""``weft synth``: cell counts from open synthesis."""

from __future__ import annotations

from pathlib import Path

import typer

from weft.cli.output import find_preset, print_json, print_table, progress

__all__ = ["command"]


def command(
    preset: str = typer.Argument(help="Name of a preset; see weft presets."),
    output: Path = typer.Option(
        Path("build/synth"), "-o", "--output", help="Folder for Verilog, log and reports."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Count the cells that Yosys maps a preset to: LUT, flip-flops, DSP, BRAM. No timing."""
    from weft.synth import synthesise

    config = find_preset(preset)
    folder = output / f"{config.name}-{config.hash}"
    with progress(f"synthesising {config.name} (some minutes)"):
        counts = synthesise(config, folder)
    if json:
        print_json("synth", [c.as_dict() for c in counts], config=config)
        return
    print_table(
        f"{config.name} (config {config.hash}): cells as mapped by yosys synth_xilinx",
        ("module, with what it contains", "LUT", "LUT memory", "FF", "carry", "DSP", "BRAM36"),
        [
            (c.name, c.lut, c.lut_memory, c.flip_flops, c.carry, c.dsp, f"{c.bram36:g}")
            for c in counts
        ],
    )
