"""Settings of the processing system: what Vivado is told, and what the .hwh then says."""

from __future__ import annotations

from collections.abc import Mapping

from .overlay import Overlay

__all__ = ["clock_pins", "parameters", "properties"]


def _indices(overlay: Overlay) -> list[int]:
    """Numbers of the HP ports in use."""
    return list(overlay.board.system.port_numbers(overlay.config.axi_ports))


def clock_pins(overlay: Overlay) -> Mapping[str, str]:
    """Pin of the processing system that clocks each of its ports, by port."""
    names = (overlay.board.system.master, *overlay.ports)
    if overlay.board.system.zynqmp:
        return {name: f"{name.replace('_AXI_', 'axi').lower()}_aclk" for name in names}
    return {name: f"{name}_ACLK" for name in names}


def properties(overlay: Overlay) -> dict[str, str]:
    """CONFIG properties of the IP, without the prefix."""
    clock, width = overlay.clock, overlay.config.axi_data_bits
    if overlay.board.system.zynqmp:
        found = {
            "PSU__USE__M_AXI_GP0": "1",
            "PSU__USE__M_AXI_GP1": "0",
            "PSU__USE__M_AXI_GP2": "0",
            "PSU__MAXIGP0__DATA_WIDTH": "32",
            "PSU__OVERRIDE__BASIC_CLOCK": "0",
            "PSU__FPGA_PL0_ENABLE": "1",
            "PSU__CRL_APB__PL0_REF_CTRL__SRCSEL": "IOPLL",
            "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": f"{clock.mhz:g}",
            "PSU__USE__IRQ0": "1",
        }
        for i in _indices(overlay):
            found[f"PSU__USE__S_AXI_GP{i + 2}"] = "1"
            found[f"PSU__SAXIGP{i + 2}__DATA_WIDTH"] = str(width)
        return found
    found = {
        "PCW_USE_M_AXI_GP0": "1",
        "PCW_EN_CLK0_PORT": "1",
        "PCW_EN_RST0_PORT": "1",
        "PCW_FPGA0_PERIPHERAL_FREQMHZ": f"{clock.mhz:g}",
        "PCW_USE_FABRIC_INTERRUPT": "1",
        "PCW_IRQ_F2P_INTR": "1",
    }
    for i in _indices(overlay):
        found[f"PCW_USE_S_AXI_HP{i}"] = "1"
        found[f"PCW_S_AXI_HP{i}_DATA_WIDTH"] = str(width)
    return found


def parameters(overlay: Overlay) -> dict[str, str]:
    """PARAMETERs of the processing system in the .hwh that pynq reads: clocks and port widths."""
    clock, width = overlay.clock, overlay.config.axi_data_bits
    found: dict[str, str] = {}
    for i in range(4):
        on = "1" if i == 0 else "0"
        if overlay.board.system.zynqmp:
            pl = f"PSU__CRL_APB__PL{i}_REF_CTRL__"
            found[f"PSU__FPGA_PL{i}_ENABLE"] = on
            found[f"{pl}DIVISOR0"] = str(clock.divisor0)
            found[f"{pl}DIVISOR1"] = str(clock.divisor1)
            found[f"{pl}SRCSEL"] = "IOPLL"
            found[f"{pl}ACT_FREQMHZ"] = f"{clock.mhz:.6f}"
        else:
            found[f"PCW_FPGA_FCLK{i}_ENABLE"] = on
            found[f"PCW_FCLK{i}_PERIPHERAL_DIVISOR0"] = str(clock.divisor0)
            found[f"PCW_FCLK{i}_PERIPHERAL_DIVISOR1"] = str(clock.divisor1)
            found[f"PCW_FCLK{i}_PERIPHERAL_CLKSRC"] = "IO PLL"
            found[f"PCW_ACT_FPGA{i}_PERIPHERAL_FREQMHZ"] = f"{clock.mhz:.6f}"
    if overlay.board.system.zynqmp:
        found["C_MAXIGP0_DATA_WIDTH"] = "32"
        for i in _indices(overlay):
            found[f"C_SAXIGP{i + 2}_DATA_WIDTH"] = str(width)
    return found
