"""What nextpnr is asked, whatever the chip, and what it reports of the slowest clock."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from weft.errors import DeviceError

from .flows import Route

__all__ = ["LOG", "REPORT", "arguments", "read_report"]

REPORT = "nextpnr.json"
LOG = "nextpnr.log"
_SEED = 1


def arguments(netlist: str, clock_mhz: float, options: Iterable[str]) -> tuple[str, ...]:
    """What nextpnr is asked: to route `netlist` for a clock, and to go on where it misses that."""
    common = ("--json", netlist, "--report", REPORT, "--seed", str(_SEED), "--log", LOG, "-q")
    return (*common, "--freq", f"{clock_mhz:g}", "--timing-allow-fail", *options)


def read_report(path: Path, module: str, part: str) -> Route:
    """What the report `path` says of the slowest clock of `module` on `part`.

    Its critical path has a step an entry, with ns, from cell begin to end.

    Raises
    ------
    DeviceError
        It is no report, or holds no path from register to register.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["fmax"]:
            return _slowest(report, module, part)
    except (KeyError, TypeError, ValueError) as error:
        raise DeviceError(
            f"nextpnr's report cannot be read: {type(error).__name__} {error}", f"see {path}"
        ) from None
    raise DeviceError(
        f"nextpnr found no path from register to register in {module}", f"see {path}"
    )


def _slowest(report: dict[str, Any], module: str, part: str) -> Route:
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
    return Route(module, part, float(clocks[clock]["achieved"]), path, begin, end, used)
