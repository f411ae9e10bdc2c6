"""The open flow: a Zynq-7000 with its processing system, from a configuration to a routed design.

``weft synth --pnr open`` ends here; ``weft build`` goes on to a bitstream.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from weft.errors import DeviceError, Unsupported
from weft_hw.boards import Board
from weft_hw.config import AcceleratorConfig

from . import flows, nextpnr
from .counts import CellCounts
from .open_tools import Tools, find_tools
from .process import run_tool
from .yosys import LOG, run_yosys

__all__ = [
    "FASM",
    "check",
    "check_overlay",
    "place_and_route",
    "read_statistics",
    "route",
    "route_overlay",
    "synthesise_shell",
]

#: Forms of the cells with primitives that the open tools know.
TARGETS = ("portable", "xc7")
_NETLIST, FASM = "weft_shell.json", "weft_shell.fasm"
_CONSTRAINTS = "weft_open.xdc"
_STATISTICS = "cells.json"
#: Cells without delays in the databases of nextpnr 0.11.1, himbaechel.
_UNTIMED = ("DSP48E1", "PS7", "SRL16E", "SRLC32E")
#: The names of the modules are the generators', whose import takes Amaranth.
_MAP = "synth_xilinx -flatten -abc9 -arch xc7 -top weft_shell"
#: Notes on the hierarchy are cells, too; older builds of nextpnr do not know them.
#: ABC9 names bits "wire[i]", which collides with wires of such names: see yosys issue 4349.
_SCRIPT = f"""\
read_verilog weft_top.v weft_shell.v
{_MAP} -run begin:map_luts
splitnets
{_MAP} -run map_luts:
delete */t:$scopeinfo
tee -q -o {_STATISTICS} stat -json -top weft_shell
write_json {_NETLIST}
"""


def check_overlay(config: AcceleratorConfig, board: Board, target: str) -> None:
    """Refuse what the open flow cannot build.

    Raises
    ------
    Unsupported
        The sentence says why, the remedy what can be built.
    """
    if board.system.zynqmp:
        raise Unsupported(
            f"the open tools have no bitstreams for {board.chip.part} ({board.name})",
            "choose pynq-z2 or pynq-z1, or take Vivado",
        )
    if target not in TARGETS:
        raise Unsupported(
            f"{board.chip.part} has no cells of target {target}", f"choose {' or '.join(TARGETS)}"
        )
    if (config.axi_protocol, config.axi_data_bits) != ("axi3", 64):
        raise Unsupported(
            f"without Vivado's converters the ports of {board.name} take AXI3 with 64 bits, "
            f"{config.name} has {config.axi_protocol.upper()} with {config.axi_data_bits}",
            "build with --set axi_protocol=axi3 --set axi_data_bits=64",
        )


def route_overlay(
    config: AcceleratorConfig,
    board: Board,
    folder: Path,
    tools: Tools,
    *,
    clock_mhz: float,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[flows.Route, CellCounts]:
    """Map, place and route the ``weft_top.v`` of `folder`, with all files there; also its cells as
    Yosys mapped them.

    Parameters
    ----------
    config, board
        Such as :func:`check_overlay` lets pass.
    clock_mhz : float
        Aimed at. A result that misses it is returned like any other: see ``Route.slack_ns``.

    Raises
    ------
    DeviceError
        A tool failed.
    """
    from weft_hw.shell.zynq7 import emit_shell

    emit_shell(config, board, folder)
    progress(f"{config.name}: Yosys (minutes)")
    counts = synthesise_shell(tools, folder)
    progress(f"{config.name}: nextpnr (up to an hour)")
    return place_and_route(tools, folder, board.chip.part, clock_mhz), counts


def synthesise_shell(tools: Tools, folder: Path) -> CellCounts:
    """Map ``weft_top.v`` and ``weft_shell.v`` of `folder`; ``weft_shell.json`` is for nextpnr.

    Raises
    ------
    DeviceError
        Yosys failed, wrote no netlist, or left something that is no cell of the chip.
    """
    run_yosys(_SCRIPT, folder, results=(_NETLIST, _STATISTICS), command=tools.yosys)
    return read_statistics((folder / _STATISTICS).read_text(encoding="utf-8"), folder / LOG)


def read_statistics(text: str, log: Path) -> CellCounts:
    """Counts from what ``stat -json`` says of the flat design.

    Raises
    ------
    DeviceError
        A cell is none of the chip's, or the processing system is missing.
    """
    (module,) = json.loads(text)["modules"].values()
    counts = CellCounts("weft_shell")
    for kind, number in module["num_cells_by_type"].items():
        if kind.startswith(("$", "\\$")):
            raise DeviceError(
                f"yosys left {number} cells {kind} that the chip has not", f"see {log}"
            )
        counts.add(kind, int(number))
    if counts.cells.get("PS7") != 1:
        raise DeviceError("yosys lost the processing system", f"see {log}")
    return counts


def place_and_route(tools: Tools, folder: Path, part: str, clock_mhz: float) -> flows.Route:
    """Route ``weft_shell.json`` of `folder`; ``weft_shell.fasm`` is the result.

    A design that misses `clock_mhz` is routed all the same: who asks decides.

    Raises
    ------
    DeviceError
        nextpnr failed, or wrote no report or no design.
    """
    # The design has no pins. The clock comes out of PS7, where no constraint reaches it in all
    # builds of nextpnr, so its rate is the one that every clock gets.
    (folder / _CONSTRAINTS).write_text(
        f"# {clock_mhz:g} MHz, as --freq says; no pins.\n"
        f"create_clock -period {1000 / clock_mhz:.3f} [get_nets clk]\n", encoding="utf-8"
    )
    if tools.himbaechel:
        # On whole designs the static placer's wires are a fraction of those of the others.
        options = ["--device", part, "--placer", "static", "--router", "router2"]
        options += ["-o", f"xdc={_CONSTRAINTS}", "-o", f"fasm={FASM}"]
    else:
        options = ["--xdc", _CONSTRAINTS, "--fasm", FASM]
    if tools.chipdb:
        options += ["--chipdb", str(tools.chipdb)]
    command = (tools.nextpnr, *nextpnr.arguments(_NETLIST, clock_mhz, options))
    run_tool(command, folder, nextpnr.LOG, results=(nextpnr.REPORT, FASM))
    found = nextpnr.read_report(folder / nextpnr.REPORT, "weft_shell", part)
    slack = round(1000 / clock_mhz - 1000 / found.fmax_mhz, 3)
    untimed = list(_UNTIMED) if tools.himbaechel else []
    return dataclasses.replace(found, clock_mhz=clock_mhz, slack_ns=slack, untimed=untimed)


def check(job: flows.Job) -> None:
    """Refuse before anything is synthesised.

    Raises
    ------
    Unsupported
        The board, the ports of the configuration, or single blocks.
    ToolMissing
        A tool, or nextpnr's chip database.
    """
    if job.blocks != (flows.WHOLE,):
        raise Unsupported("--pnr open routes whole designs", "leave --block out")
    board = job.board
    check_overlay(job.config, board, "xc7")
    find_tools(board.chip.part, bitstream=False)


def route(job: flows.Job) -> list[flows.Route]:
    """The whole design with its processing system, at the clock of the configuration."""
    from weft_hw.verilog import emit

    board, config = job.board, job.config
    folder = job.folder / f"{config.name}-{config.hash}-open"
    folder.mkdir(parents=True, exist_ok=True)
    emit(config, folder, "xc7")
    found, _ = route_overlay(
        config,
        board,
        folder,
        find_tools(board.chip.part, bitstream=False),
        clock_mhz=board.system.clock(config.clock_mhz).mhz,
        progress=lambda text: job.advance(0, text=text),
    )
    job.advance(1)
    return [dataclasses.replace(found, module=flows.WHOLE)]
