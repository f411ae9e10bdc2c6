"""What Vivado reads of a block design: script, constraints, and a module with its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft_hw.ip import MODULE

from .overlay import INSTANCE, INTERRUPT_CONTROLLER, PS, Overlay
from .ps import clock_pins, properties
from .templates import render

__all__ = ["Port", "constraints", "interfaces", "ports", "script", "wrapper"]

_SLAVE, _MASTER = "s_axil", "m_axi"


@dataclass(frozen=True)
class Port:
    """A port of the module: direction as Verilog has it, width, Vivado's interface attributes."""

    name: str
    direction: str
    width: int
    info: str
    parameter: str = ""

    @property
    def declaration(self) -> str:
        """Direction, range and name."""
        span = f" [{self.width - 1}:0]" if self.width > 1 else ""
        return f"{self.direction} wire{span} {self.name}"


def interfaces(overlay: Overlay) -> list[str]:
    """Names of all bus interfaces: the registers, then the masters."""
    return [_SLAVE, *(f"{_MASTER}{p}" for p in range(overlay.config.axi_ports))]


def ports(overlay: Overlay, side: Mapping[str, Any]) -> list[Port]:
    """All ports of the core.

    Parameters
    ----------
    side : mapping
        The side file that ``weft_hw.verilog.emit`` writes: its ``ports`` are those of the Verilog.
    """
    seen: set[str] = set()
    found = []
    for name, port in side["ports"].items():
        direction = "input" if port["direction"] == "in" else "output"
        bus, _, signal = name.rpartition("_")
        info, parameter = _attributes(overlay, name, bus, signal, bus not in seen)
        seen.add(bus)
        found.append(Port(name, direction, port["width"], info, parameter))
    return found


def _attributes(overlay: Overlay, name: str, bus: str, signal: str, first: bool) -> tuple[str, str]:
    if name == "aclk":
        hertz = round(overlay.clock.mhz * 1_000_000)
        return (
            "xilinx.com:signal:clock:1.0 aclk CLK",
            f"ASSOCIATED_BUSIF {':'.join(interfaces(overlay))}, ASSOCIATED_RESET aresetn, "
            f"FREQ_HZ {hertz}",
        )
    if name == "aresetn":
        return "xilinx.com:signal:reset:1.0 aresetn RST", "POLARITY ACTIVE_LOW"
    if name == "irq":
        return "xilinx.com:signal:interrupt:1.0 irq INTERRUPT", "SENSITIVITY LEVEL_HIGH"
    info = f"xilinx.com:interface:aximm:1.0 {bus} {signal.upper()}"
    if not first:
        return info, ""
    config = overlay.config
    if bus == _SLAVE:
        return info, "PROTOCOL AXI4LITE, DATA_WIDTH 32"
    return (
        info,
        f"PROTOCOL {config.axi_protocol.upper()}, DATA_WIDTH {config.axi_data_bits}, "
        f"ADDR_WIDTH {config.axi_address_bits}, ID_WIDTH 1, MAX_BURST_LENGTH 16, "
        f"NUM_READ_OUTSTANDING {config.read_outstanding}, "
        f"NUM_WRITE_OUTSTANDING {config.write_outstanding}, "
        "HAS_BURST 1, SUPPORTS_NARROW_BURST 0, READ_WRITE_MODE READ_WRITE",
    )


def wrapper(overlay: Overlay, side: Mapping[str, Any]) -> str:
    """Text of ``weft_accelerator.v``; `side` as for :func:`ports`."""
    return render(
        "wrapper.v.j2", overlay=overlay, ports=ports(overlay, side), module=MODULE, core="weft_top"
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
        ps_properties=properties(overlay),
        clock_pins=clock_pins(overlay),
    )


def constraints(overlay: Overlay) -> str:
    """Text of ``weft.xdc``."""
    return render("constraints.xdc.j2", overlay=overlay)
