"""Boards that run PYNQ: memory ports, clocks, addresses, images. The only place of these facts.

Standard library only. The block design, the .hwh, the driver and the virtual board read this; what
the chips hold is in :mod:`weft_hw.boards`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import boards
from .registers import REGISTER_BYTES

__all__ = [
    "MODULE",
    "MODULE_VLNV",
    "PACKAGED_VLNV",
    "PORTS_MAX",
    "PYNQ_BOARDS",
    "BoardError",
    "Clock",
    "PynqBoard",
    "hp_numbers",
    "pynq_board",
]

#: Verilog module that a block design instantiates.
MODULE = "weft_accelerator"
#: What Vivado calls a module reference, and what a packaged IP of the same module would be called.
MODULE_VLNV = f"xilinx.com:module_ref:{MODULE}:1.0"
PACKAGED_VLNV = f"weft:weft:{MODULE}:1.0"
#: Data ports of both families of processing systems that a core can use.
PORTS_MAX = 4
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
class PynqBoard:
    """One board with its processing system.

    Parameters
    ----------
    name, pynq_name : str
        As on the command line, and as the PYNQ image calls it.
    chip : str
        The board in ``weft_hw.boards`` that has the same programmable logic.
    zynqmp : bool
        Zynq UltraScale+; otherwise Zynq-7000.
    part, board_part : str
        Vivado names; board_part is used only where its board files are installed.
    ddr_bytes : int
        Memory of the processing system.
    cma_bytes : int
        Contiguous memory that the board's image sets aside.
    pynq : str
        The version of the pynq package that serves it.
    image : str
        The SD card image to take.
    """

    name: str
    pynq_name: str
    chip: str
    zynqmp: bool
    part: str
    board_part: str
    ddr_bytes: int
    cma_bytes: int
    pynq: str
    image: str

    @property
    def logic(self) -> boards.Board:
        """What the programmable logic holds."""
        return boards.BOARDS[self.chip]

    @property
    def architecture(self) -> str:
        """What the kernel calls the processor."""
        return "aarch64" if self.zynqmp else "armv7l"

    # -- the processing system --------------------------------------------------------------------

    @property
    def ps_type(self) -> str:
        """MODTYPE of the processing system."""
        return "zynq_ultra_ps_e" if self.zynqmp else "processing_system7"

    @property
    def ps_version(self) -> str:
        """Version of that IP in the tools that the images were made with."""
        return "3.5" if self.zynqmp else "5.5"

    @property
    def ps_clock(self) -> str:
        """Pin of PL clock 0."""
        return "pl_clk0" if self.zynqmp else "FCLK_CLK0"

    @property
    def ps_reset(self) -> str:
        """Pin of the PL reset, active low."""
        return "pl_resetn0" if self.zynqmp else "FCLK_RESET0_N"

    @property
    def ps_irq(self) -> str:
        """Pin of the interrupt from the PL."""
        return "pl_ps_irq0" if self.zynqmp else "IRQ_F2P"

    @property
    def master(self) -> str:
        """Port from which the processor reaches the registers."""
        return "M_AXI_HPM0_FPD" if self.zynqmp else "M_AXI_GP0"

    @property
    def native_bits(self) -> int:
        """Width of a data port."""
        return 128 if self.zynqmp else 64

    @property
    def address_bits(self) -> int:
        """Width of a physical address."""
        return 40 if self.zynqmp else 32

    @property
    def base_address(self) -> int:
        """Where the registers are."""
        return 0xA000_0000 if self.zynqmp else 0x43C0_0000

    @property
    def address_range(self) -> int:
        """Bytes of the register window."""
        return REGISTER_BYTES

    @property
    def interrupt_controller_address(self) -> int:
        """Where the AXI interrupt controller is: PYNQ takes interrupts only through one."""
        return self.base_address + 0x1_0000

    @property
    def cma_base(self) -> int:
        """Where the virtual board puts its contiguous memory."""
        return 0x4000_0000 if self.zynqmp else 0x1000_0000

    def data_ports(self, count: int) -> tuple[str, ...]:
        """Slave ports for `count` masters, spread over the ports of the DDR controller.

        Zynq-7000: HP0/HP1 and HP2/HP3 share a port of the controller. UltraScale+: HP1 and HP2 do,
        HP0 shares with DisplayPort and HP3 with a DMA of the processing system.

        Raises
        ------
        BoardError
            There are not so many.
        """
        if not 1 <= count <= PORTS_MAX:
            raise BoardError(f"a board connects 1..{PORTS_MAX} data ports, not {count}")
        order = (
            {1: (1,), 2: (1, 3), 3: (0, 1, 3), 4: (0, 1, 2, 3)}
            if self.zynqmp
            else {1: (0,), 2: (0, 2), 3: (0, 1, 2), 4: (0, 1, 2, 3)}
        )
        suffix = "_FPD" if self.zynqmp else ""
        return tuple(f"S_AXI_HP{i}{suffix}" for i in order[count])

    # -- clocks -----------------------------------------------------------------------------------

    @property
    def pll_mhz(self) -> float:
        """IO PLL, the source of PL clock 0 in the images."""
        return 1500.0 if self.zynqmp else 1000.0

    @property
    def max_clock_mhz(self) -> float:
        """Limit of the data ports."""
        return 333.0 if self.zynqmp else 250.0

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
                f"{self.name} can clock the accelerator at {slowest:.1f} to "
                f"{self.max_clock_mhz:g} MHz, not at {mhz:g}"
            )
        numbers = range(1, _DIVISOR_MAX + 1)
        pairs = [(a, b) for a in numbers for b in numbers if self.pll_mhz / (a * b) <= mhz + 1e-6]
        product, second = min((a * b, b) for a, b in pairs)
        return Clock(round(self.pll_mhz / product, 6), product // second, second)


#: All boards by name. AUP-ZU3 is the default of AMD's university programme since Zynq-7000 retired.
PYNQ_BOARDS: Mapping[str, PynqBoard] = MappingProxyType(
    {
        b.name: b
        for b in (
            PynqBoard(
                name="pynq-z2",
                pynq_name="Pynq-Z2",
                chip="pynq-z2",
                zynqmp=False,
                part="xc7z020clg400-1",
                board_part="tul.com.tw:pynq-z2:part0:1.0",
                ddr_bytes=512 << 20,
                cma_bytes=128 << 20,
                pynq="3.1.2",
                image="PYNQ v3.1 for PYNQ-Z2",
            ),
            PynqBoard(
                name="pynq-z1",
                pynq_name="Pynq-Z1",
                chip="pynq-z2",
                zynqmp=False,
                part="xc7z020clg400-1",
                board_part="www.digilentinc.com:pynq-z1:part0:1.0",
                ddr_bytes=512 << 20,
                cma_bytes=128 << 20,
                pynq="3.1.2",
                image="PYNQ v3.1 for PYNQ-Z1",
            ),
            PynqBoard(
                name="zcu104",
                pynq_name="ZCU104",
                chip="zcu104",
                zynqmp=True,
                part="xczu7ev-ffvc1156-2-e",
                board_part="xilinx.com:zcu104:part0:1.1",
                ddr_bytes=2 << 30,
                cma_bytes=512 << 20,
                pynq="4.0.0",
                image="PYNQ v3.1 or v4.0 for ZCU104",
            ),
            PynqBoard(
                name="kv260",
                pynq_name="KV260",
                chip="kv260",
                zynqmp=True,
                part="xck26-sfvc784-2LV-c",
                board_part="xilinx.com:kv260_som:part0:1.3",
                ddr_bytes=4 << 30,
                cma_bytes=512 << 20,
                pynq="4.0.0",
                image="Ubuntu for Kria with Kria-PYNQ",
            ),
            PynqBoard(
                name="aup-zu3",
                pynq_name="AUP-ZU3",
                chip="aup-zu3",
                zynqmp=True,
                part="xczu3eg-sfvc784-2-e",
                board_part="realdigital.org:aup-zu3-8gb:part0:1.0",
                ddr_bytes=8 << 30,
                cma_bytes=512 << 20,
                pynq="4.0.0",
                image="PYNQ v3.1 or v4.0 for AUP-ZU3",
            ),
        )
    }
)


def hp_numbers(board: PynqBoard, ports: int) -> tuple[int, ...]:
    """Numbers of the S_AXI_HP ports that `ports` masters take; raises as ``data_ports``."""
    return tuple(int(name.removesuffix("_FPD")[-1]) for name in board.data_ports(ports))


def pynq_board(name: str) -> PynqBoard:
    """Board by name.

    Raises
    ------
    BoardError
        There is none; the sentence lists those that exist.
    """
    try:
        return PYNQ_BOARDS[name]
    except KeyError:
        raise BoardError(
            f"unknown board {name!r}; the boards are {', '.join(PYNQ_BOARDS)}"
        ) from None
