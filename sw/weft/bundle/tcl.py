"""The Vivado script and the constraints of an overlay."""

from __future__ import annotations

from weft_hw.ip import MODULE

from .overlay import INSTANCE, INTERRUPT_CONTROLLER, PS, Overlay
from .ps import clock_pins, properties
from .templates import render

__all__ = ["constraints", "script"]


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
        ps_properties=properties(overlay),
        clock_pins=clock_pins(overlay),
    )


def constraints(overlay: Overlay) -> str:
    """Text of ``weft.xdc``."""
    return render("constraints.xdc.j2", overlay=overlay)
