"""Processing systems: how the logic reaches memory and registers, and who clocks it."""

from __future__ import annotations

from dataclasses import dataclass

from ..registers import REGISTER_BYTES

__all__ = ["ZYNQ7", "ZYNQMP", "BoardError", "Clock", "ProcessingSystem"]

#: Largest divisor of either stage of a PL clock.
_DIVISOR_MAX = 63


class BoardError(ValueError):
    """A board that Weft does not know, or something that a board cannot do."""


@dataclass(frozen=True)
class Clock:
    """A PL clock: ``pll_mhz / (divisor0 * divisor1)``."""

    mhz: float
    divisor0: int
    divisor1: int


@dataclass(frozen=True, kw_only=True)
class ProcessingSystem:
    """One family of processing systems, as the PYNQ images set it up.

    Parameters
    ----------
    name, title : str
        For programs ("zynq7") and for people ("Zynq-7000").
    architecture : str
        What the kernel calls the processor.
    ip, ip_version : str
        MODTYPE, and the version in the tools that the images were made with.
    clock_pin, reset_pin, interrupt_pin : str
        PL clock 0; the PL reset, active low; the interrupt from the PL.
    master : str
        Port from which the processor reaches the registers.
    port_protocol, port_bits : str, int
        Of a data port, without converters.
    port_orders : tuple of tuple of int
        Numbers of the S_AXI_HP ports that 1, 2, ... masters take.
    port_suffix : str
        Behind the number in a port's name.
    address_bits : int
        Width of a physical address.
    base_address : int
        Where the registers are.
    cma_base : int
        Where the virtual board puts its contiguous memory.
    pll_mhz : float
        IO PLL, the source of PL clock 0.
    max_clock_mhz : float
        Limit of the data ports.
    """

    name: str
    title: str
    architecture: str
    ip: str
    ip_version: str
    clock_pin: str
    reset_pin: str
    interrupt_pin: str
    master: str
    port_protocol: str
    port_bits: int
    port_orders: tuple[tuple[int, ...], ...]
    port_suffix: str
    address_bits: int
    base_address: int
    cma_base: int
    pll_mhz: float
    max_clock_mhz: float

    @property
    def zynqmp(self) -> bool:
        """Zynq UltraScale+; otherwise Zynq-7000."""
        return self.name == "zynqmp"

    @property
    def address_range(self) -> int:
        """Bytes of the register window."""
        return REGISTER_BYTES

    @property
    def interrupt_controller_address(self) -> int:
        """Where the AXI interrupt controller is: PYNQ takes interrupts only through one."""
        return self.base_address + 0x1_0000

    def port_numbers(self, count: int) -> tuple[int, ...]:
        """Numbers of the S_AXI_HP ports for `count` masters, spread over the DDR controller's.

        Raises
        ------
        BoardError
            There are not so many.
        """
        most = len(self.port_orders)
        if not 1 <= count <= most:
            raise BoardError(f"a {self.title} connects 1..{most} data ports, not {count}")
        return self.port_orders[count - 1]

    def data_ports(self, count: int) -> tuple[str, ...]:
        """Names of the same ports; raises as :meth:`port_numbers`."""
        return tuple(f"S_AXI_HP{i}{self.port_suffix}" for i in self.port_numbers(count))

    def clock(self, mhz: float) -> Clock:
        """The fastest clock not above `mhz` that the dividers of the IO PLL give.

        Raises
        ------
        BoardError
            `mhz` is beyond the data ports, or below what the dividers reach.
        """
        slowest = self.pll_mhz / _DIVISOR_MAX**2
        if not slowest <= mhz <= self.max_clock_mhz:
            raise BoardError(
                f"a {self.title} can clock the accelerator at {slowest:.1f} to "
                f"{self.max_clock_mhz:g} MHz, not at {mhz:g}"
            )
        numbers = range(1, _DIVISOR_MAX + 1)
        pairs = [(a, b) for a in numbers for b in numbers if self.pll_mhz / (a * b) <= mhz + 1e-6]
        product, second = min((a * b, b) for a, b in pairs)
        return Clock(round(self.pll_mhz / product, 6), product // second, second)


#: HP0/HP1 and HP2/HP3 share a port of the DDR controller.
ZYNQ7 = ProcessingSystem(
    name="zynq7",
    title="Zynq-7000",
    architecture="armv7l",
    ip="processing_system7",
    ip_version="5.5",
    clock_pin="FCLK_CLK0",
    reset_pin="FCLK_RESET0_N",
    interrupt_pin="IRQ_F2P",
    master="M_AXI_GP0",
    port_protocol="axi3",
    port_bits=64,
    port_orders=((0,), (0, 2), (0, 1, 2), (0, 1, 2, 3)),
    port_suffix="",
    address_bits=32,
    base_address=0x43C0_0000,
    cma_base=0x1000_0000,
    pll_mhz=1000.0,
    max_clock_mhz=250.0,
)
#: HP1 and HP2 share a port of the DDR controller, HP0 shares with DisplayPort and HP3 with a DMA of
#: the processing system.
ZYNQMP = ProcessingSystem(
    name="zynqmp",
    title="Zynq UltraScale+",
    architecture="aarch64",
    ip="zynq_ultra_ps_e",
    ip_version="3.5",
    clock_pin="pl_clk0",
    reset_pin="pl_resetn0",
    interrupt_pin="pl_ps_irq0",
    master="M_AXI_HPM0_FPD",
    port_protocol="axi4",
    port_bits=128,
    port_orders=((1,), (1, 3), (0, 1, 3), (0, 1, 2, 3)),
    port_suffix="_FPD",
    address_bits=40,
    base_address=0xA000_0000,
    cma_base=0x4000_0000,
    pll_mhz=1500.0,
    max_clock_mhz=333.0,
)
