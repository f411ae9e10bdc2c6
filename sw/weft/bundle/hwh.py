"""The hardware description that pynq reads, written without Vivado.

It holds what pynq needs and nothing else; a Vivado build replaces it by the complete one.
"""

from __future__ import annotations

from weft_hw.ip import MODULE, MODULE_VLNV
from weft_hw.registers import REGISTERS

from .overlay import GPIO, INSTANCE, INTERRUPT_CONTROLLER, PS, Overlay
from .templates import render
from .wrapper import interfaces

__all__ = ["GPIO_OFFSET", "hwh"]

#: Of the self-test's output register, from the accelerator's base address.
GPIO_OFFSET = 0x2_0000
_WINDOW = 0x1000


def hwh(overlay: Overlay, *, gpio: bool = False, interrupt: bool = True) -> str:
    """Text of the .hwh.

    Parameters
    ----------
    overlay : Overlay
    gpio : bool
        Also an AXI GPIO, which only virtual boards have: pynq's own self-test wants one.
    interrupt : bool
        With the controller through which pynq takes interrupts. A design of the open tools has
        none: its driver polls.
    """
    system = overlay.board.system
    # Instance, interface, address block, base address and bytes.
    slaves = [(INSTANCE, "s_axil", "reg0", system.base_address, system.address_range)]
    if interrupt:
        address = system.interrupt_controller_address
        slaves.append((INTERRUPT_CONTROLLER, "s_axi", "Reg", address, _WINDOW))
    if gpio:
        slaves.append((GPIO, "S_AXI", "Reg", system.base_address + GPIO_OFFSET, _WINDOW))
    return render(
        "hwh.xml.j2",
        overlay=overlay,
        system=system,
        part=overlay.board.chip.part,
        slaves=slaves,
        ps=PS,
        clock=overlay.clock,
        instance=INSTANCE,
        kind=MODULE,
        vlnv=MODULE_VLNV,
        registers=REGISTERS.values(),
        buses=interfaces(overlay),
        intc=INTERRUPT_CONTROLLER,
        interrupt=interrupt,
        gpio=gpio,
        gpio_instance=GPIO,
    )
