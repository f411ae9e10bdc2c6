"""Runs nextpnr, whatever the chip, and reads what it reports of the slowest clock."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.errors import DeviceError

from .process import run_tool

__all__ = ["REPORT", "Timing", "arguments", "read_report", "run_nextpnr"]

REPORT = "nextpnr.json"
_LOG = "nextpnr.log"
_SEED = 1


@dataclass(frozen=True)
class Timing:
    """fmax_mhz: of the slowest clock; critical_path: its steps, with ns, from cell begin to end.

    used counts sites of the chip by kind.
    """

    fmax_mhz: float
    critical_path: tuple[str, ...]
    begin: str
    end: str
    used: dict[str, int]


def arguments(netlist: str, clock_mhz: float, options: Iterable[str]) -> tuple[str, ...]:
    """What nextpnr is asked: to route `netlist` for a clock, and to go on where it misses that."""
    common = ("--json", netlist, "--report", REPORT, "--seed", str(_SEED), "--log", _LOG, "-q")
    return (*common, "--freq", f"{clock_mhz:g}", "--timing-allow-fail", *options)


def run_nextpnr(
    command: tuple[str, ...],
    folder: Path,
    *,
    name: str = "",
    results: Iterable[str] = (),
) -> Path:
    """Place and route in `folder`; the report.

    Parameters
    ----------
    command : tuple of str
        A nextpnr and its :func:`arguments`.
    folder : Path
    name : str, optional
        Of the program, for people; its file name by default.
    results : names of files
        What it has to write beside the report.

    Raises
    ------
    DeviceError
        It failed, or wrote no report or result.
    """
    run_tool(command, folder, _LOG, name=name, results=(REPORT, *results))
    return folder / REPORT


def read_report(path: Path, module: str) -> Timing:
    """What the report `path` says of the slowest clock of `module`.

    Raises
    ------
    DeviceError
        It is no report, or holds no path from register to register.
    """
    try:
        report = json.loads(path.read_text())
        if report["fmax"]:
            return _timing(report)
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(
            f"nextpnr's report cannot be read: {type(error).__name__} {error}", f"see {path}"
        ) from None
    raise DeviceError(
        f"nextpnr found no path from register to register in {module}", f"see {path}"
    )


def _timing(report: dict[str, Any]) -> Timing:
    clocks = report["fmax"]
    clock = min(clocks, key=lambda name: float(clocks[name]["achieved"]))
    paths = [
        entry["path"]
        for entry in report.get("critical_paths", [])
        if entry["from"] == entry["to"] and clock in entry["from"]
    ]
    steps: list[dict[str, Any]] = paths[0] if paths else []
    path = []
    for step in steps:
        at = step["to"].get("cell") or step["from"].get("cell", "")
        what = step.get("net") or step["type"]
        path.append(f"{step['delay']:6.2f} ns {step['type']:8s} {what} -> {at}")
    begin = steps[0]["from"].get("cell", "") if steps else ""
    end = steps[-1]["to"].get("cell", "") if steps else ""
    used = {n: row["used"] for n, row in report.get("utilization", {}).items() if row["used"]}
    return Timing(float(clocks[clock]["achieved"]), tuple(path), begin, end, used)
