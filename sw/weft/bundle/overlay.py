"""What an overlay is: one configuration on one board at one clock. All its files derive from it."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import Unsupported, UsageError
from weft_hw.config import AcceleratorConfig
from weft_hw.pynq_boards import BoardError, Clock, PynqBoard
from weft_hw.target import check_target

__all__ = ["GPIO", "INSTANCE", "INTERRUPT_CONTROLLER", "PS", "Overlay"]

#: Names of the cells in the block design, as ``overlay.ip_dict`` shows them.
INSTANCE = "weft_0"
INTERRUPT_CONTROLLER = "axi_intc_0"
PS = "ps"
#: Output register that virtual boards have for pynq's own self-test.
GPIO = "axi_gpio_leds"


@dataclass(frozen=True)
class Overlay:
    """A configuration on a board.

    Parameters
    ----------
    config : AcceleratorConfig
    board : PynqBoard
    requested_mhz : float
    requested_target : str
        Form of the cells (``weft_hw.target.TARGETS``); that of the board's chip where empty.

    Raises
    ------
    Unsupported
        The board cannot carry it; the sentence says why.
    """

    config: AcceleratorConfig
    board: PynqBoard
    requested_mhz: float
    requested_target: str = ""

    def __post_init__(self) -> None:
        config, board = self.config, self.board
        if config.axi_data_bits > board.native_bits:
            raise Unsupported(
                f"{config.name} has data ports of {config.axi_data_bits} bits, those of "
                f"{board.name} have {board.native_bits}",
                "choose another preset or board",
            )
        if config.axi_address_bits > board.address_bits:
            raise Unsupported(
                f"{config.name} has addresses of {config.axi_address_bits} bits, those of "
                f"{board.name} have {board.address_bits}",
                "choose another preset or board",
            )
        if board.zynqmp and config.axi_protocol == "axi3":
            raise Unsupported(
                f"{config.name} has AXI3 ports, those of {board.name} are AXI4",
                "build with --set axi_protocol=axi4, or choose another preset",
            )
        try:
            packing = check_target(self.target)
        except ValueError as error:
            raise UsageError(str(error), "choose one of them with --target") from None
        chip = check_target(board.logic.target)
        if packing and chip and packing.primitive != chip.primitive:
            raise Unsupported(
                f"target {self.target} is made of {packing.primitive}, {board.name} has "
                f"{chip.primitive}",
                f"leave --target out, or choose {board.logic.target} or portable",
            )
        if packing and packing.ultra_ram and not board.logic.uram:
            raise Unsupported(
                f"target {self.target} needs UltraRAM, {board.name} has none",
                f"leave --target out, or choose {board.logic.target} or portable",
            )
        # Two products a slice is the best there is; the rest is known after synthesis.
        if config.macs_per_cycle > 2 * board.logic.dsp:
            raise Unsupported(
                f"{config.name} has {config.macs_per_cycle} multipliers, {board.name} has "
                f"{board.logic.dsp} DSP slices for two each",
                "choose a smaller preset or a larger board",
            )
        try:
            board.clock(self.requested_mhz)
        except BoardError as error:
            raise Unsupported(str(error), "choose another --clock") from None

    @property
    def target(self) -> str:
        """Form of the cells."""
        return self.requested_target or self.board.logic.target

    @property
    def clock(self) -> Clock:
        """The clock that the board really gives."""
        return self.board.clock(self.requested_mhz)

    @property
    def name(self) -> str:
        """Stem of all files, with the hash: PYNQ never overwrites a file of the same name."""
        return f"weft_{self.board.name.replace('-', '_')}_{self.config.hash[:8]}"

    @property
    def ports(self) -> tuple[str, ...]:
        """Slave port of the processing system for each master of the accelerator."""
        return self.board.data_ports(self.config.axi_ports)
