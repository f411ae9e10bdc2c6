"""Placing and routing of a mapped design, and what nextpnr reports of its clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.errors import DeviceError
from weft_hw.shell.zynq7 import SHELL_NAME

from .open_tools import Tools, run_tool
from .zynq7_yosys import NETLIST

__all__ = ["CONSTRAINTS", "FASM", "Timing", "place_and_route", "read_report"]

FASM = f"{SHELL_NAME}.fasm"
CONSTRAINTS = "weft_open.xdc"
_REPORT = "nextpnr.json"
_SEED = 1


@dataclass(frozen=True)
class Timing:
    """fmax_mhz: of the slowest clock; critical_path: its steps; used: sites by kind."""

    fmax_mhz: float
    critical_path: tuple[str, ...]
    used: dict[str, int]


def place_and_route(tools: Tools, folder: Path, part: str, clock_mhz: float) -> Timing:
    """Route ``weft_shell.json`` of `folder`; ``weft_shell.fasm`` is the result.

    A design that misses `clock_mhz` is routed all the same: who asks decides.

    Raises
    ------
    DeviceError
        nextpnr failed, or wrote no report or no design.
    """
    for name in (FASM, _REPORT):
        (folder / name).unlink(missing_ok=True)
    # The design has no pins. The clock comes out of PS7, where no constraint reaches it in all
    # builds of nextpnr, so its rate is the one that every clock gets.
    (folder / CONSTRAINTS).write_text(
        f"# {clock_mhz:g} MHz, as --freq says; no pins.\n"
        f"create_clock -period {1000 / clock_mhz:.3f} [get_nets clk]\n"
    )
    command = [tools.nextpnr, "--json", NETLIST, "--report", _REPORT, "--seed", str(_SEED)]
    command += ["--freq", f"{clock_mhz:g}", "--timing-allow-fail", "--log", "nextpnr.log", "-q"]
    if tools.himbaechel:
        command += ["--device", part, "--router", "router2"]
        command += ["-o", f"xdc={CONSTRAINTS}", "-o", f"fasm={FASM}"]
    else:
        command += ["--xdc", CONSTRAINTS, "--fasm", FASM]
    if tools.chipdb:
        command += ["--chipdb", str(tools.chipdb)]
    run_tool(tuple(command), folder, "nextpnr_output.log")
    for name in (FASM, _REPORT):
        if not (folder / name).exists():
            raise DeviceError(f"nextpnr wrote no {name}", f"see {folder / 'nextpnr.log'}")
    try:
        return read_report(json.loads((folder / _REPORT).read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(
            f"nextpnr's report cannot be read: {type(error).__name__} {error}",
            f"see {folder / _REPORT}",
        ) from None


def read_report(report: dict[str, Any]) -> Timing:
    """What a report of ``nextpnr --report`` says of its slowest clock.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is none, or names no clock.
    """
    clocks = report["fmax"]
    if not clocks:
        raise ValueError("it names no clock")
    clock = min(clocks, key=lambda name: float(clocks[name]["achieved"]))
    steps = []
    for path in report.get("critical_paths", []):
        if clock in path["from"] and clock in path["to"]:
            steps = [
                f"{step['delay']:.2f} ns {step['type']} -> {step['to'].get('cell', '')}"
                for step in path["path"]
            ]
            break
    used = {n: int(row["used"]) for n, row in report.get("utilization", {}).items() if row["used"]}
    return Timing(float(clocks[clock]["achieved"]), tuple(steps), used)
