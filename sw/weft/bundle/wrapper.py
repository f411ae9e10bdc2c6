"""What Vivado reads of a block design: script, constraints, and a module with its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft_hw.ip import MODULE

from .overlay import INSTANCE, INTERRUPT_CONTROLLER, PS, Overlay
from .templates import render

__all__ = ["constraints", "interfaces", "script", "wrapper"]


def interfaces(overlay: Overlay) -> list[str]:
    """Names of all bus interfaces: the registers, then the masters."""
    return ["s_axil", *(f"m_axi{p}" for p in range(overlay.config.axi_ports))]


def wrapper(overlay: Overlay, side: Mapping[str, Any]) -> str:
    """Text of ``weft_accelerator.v``.

    Parameters
    ----------
    side : mapping
        The side file that ``weft_hw.verilog.emit`` writes: its ``ports`` are those of the Verilog,
        those of a bus next to each other.
    """
    return render(
        "wrapper.v.j2",
        overlay=overlay,
        config=overlay.config,
        ports=side["ports"],
        buses=interfaces(overlay),
        module=MODULE,
        core="weft_top",
    )


def script(overlay: Overlay) -> str:
    """Text of ``build.tcl``: from the Verilog to a bitstream that meets timing."""
    return render(
        "build.tcl.j2",
        overlay=overlay,
        board=overlay.board,
        part=overlay.board.chip.part,
        module=MODULE,
        ps=PS,
        instance=INSTANCE,
        intc=INTERRUPT_CONTROLLER,
    )


def constraints(overlay: Overlay) -> str:
    """Text of ``weft.xdc``."""
    return render("constraints.xdc.j2", overlay=overlay)
