"""Synthesis of a whole design for nextpnr."""

from __future__ import annotations

import json
from pathlib import Path

from weft.errors import DeviceError
from weft_hw.shell.zynq7 import SHELL_NAME
from weft_hw.verilog import TOP_NAME

from .counts import CellCounts
from .open_tools import Tools, run_tool

__all__ = ["NETLIST", "synthesise_shell"]

NETLIST = f"{SHELL_NAME}.json"
_STATISTICS = "cells.json"
_MAP = f"synth_xilinx -flatten -abc9 -arch xc7 -top {SHELL_NAME}"
#: Notes on the hierarchy are cells, too; older builds of nextpnr do not know them.
#: ABC9 names bits "wire[i]", which collides with wires of such names: see yosys issue 4349.
_SCRIPT = f"""\
read_verilog {TOP_NAME}.v {SHELL_NAME}.v
{_MAP} -run begin:map_luts
splitnets
{_MAP} -run map_luts:
delete */t:$scopeinfo
tee -q -o {_STATISTICS} stat -json -top {SHELL_NAME}
write_json {NETLIST}
"""


def synthesise_shell(tools: Tools, folder: Path) -> CellCounts:
    """Map ``weft_top.v`` and ``weft_shell.v`` of `folder`; ``weft_shell.json`` is for nextpnr.

    Raises
    ------
    DeviceError
        Yosys failed, wrote no netlist, or left something that is no cell of the chip.
    """
    for name in (NETLIST, _STATISTICS):
        (folder / name).unlink(missing_ok=True)
    (folder / "open.ys").write_text(_SCRIPT)
    run_tool((*tools.yosys, "-q", "-l", "yosys.log", "open.ys"), folder, "yosys_output.log")
    for name in (NETLIST, _STATISTICS):
        if not (folder / name).exists():
            raise DeviceError(f"yosys wrote no {name}", f"see {folder / 'yosys.log'}")
    return read_statistics((folder / _STATISTICS).read_text(), folder / "yosys.log")


def read_statistics(text: str, log: Path) -> CellCounts:
    """Counts from what ``stat -json`` says of the flat design.

    Raises
    ------
    DeviceError
        A cell is none of the chip's, or the processing system is missing.
    """
    (module,) = json.loads(text)["modules"].values()
    counts = CellCounts(SHELL_NAME)
    for kind, number in module["num_cells_by_type"].items():
        if kind.startswith(("$", "\\$")):
            raise DeviceError(
                f"yosys left {number} cells {kind} that the chip has not", f"see {log}"
            )
        counts.add(kind, int(number))
    if counts.cells.get("PS7") != 1:
        raise DeviceError("yosys lost the processing system", f"see {log}")
    return counts
