"""``weft synth --pnr open``: a Zynq-7000 with open tools, without the bitstream."""

from __future__ import annotations

from weft.errors import Unsupported

from .flows import WHOLE, Job, Route
from .open_tools import find_tools
from .zynq7 import check_overlay
from .zynq7 import route as route_open

__all__ = ["check", "route"]

_TARGET = "xc7"


def check(job: Job) -> None:
    """Refuse before anything is synthesised.

    Raises
    ------
    Unsupported
        The board, the ports of the configuration, or single blocks.
    ToolMissing
        A tool, or nextpnr's chip database.
    """
    if job.blocks != (WHOLE,):
        raise Unsupported("--pnr open routes whole designs", "leave --block out")
    board = job.place
    check_overlay(job.config, board, _TARGET)
    find_tools(board.chip.part, bitstream=False)


def route(job: Job) -> list[Route]:
    """The whole design with its processing system, at the clock of the configuration."""
    board, config = job.place, job.config
    clock = board.system.clock(config.clock_mhz).mhz
    found = route_open(
        config,
        board,
        job.folder / f"{config.name}-{config.hash}-open",
        find_tools(board.chip.part, bitstream=False),
        clock_mhz=clock,
        target=_TARGET,
        progress=lambda text: job.advance(0, text=text),
    )
    job.advance(1)
    path = list(found.timing.critical_path)
    return [
        Route(
            WHOLE,
            board.chip.part,
            found.timing.fmax_mhz,
            path,
            path[0].rpartition("-> ")[2] if path else "",
            path[-1].rpartition("-> ")[2] if path else "",
            dict(found.timing.used),
            clock_mhz=clock,
            slack_ns=found.slack_ns,
        )
    ]
