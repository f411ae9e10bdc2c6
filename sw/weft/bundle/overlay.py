"""What an overlay is: one configuration on one board at one clock. All its files derive from it."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import Unsupported, UsageError
from weft_hw.boards import Board, BoardError, Clock
from weft_hw.config import AcceleratorConfig
from weft_hw.platform import Platform
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
    board : Board
    requested_mhz : float
    requested_target : str
        Form of the cells (``weft_hw.target.TARGETS``); that of the board's chip where empty.

    Raises
    ------
    Unsupported
        The board cannot carry it; the sentence says why.
    """

    config: AcceleratorConfig
    board: Board
    requested_mhz: float
    requested_target: str = ""

    def __post_init__(self) -> None:
        config, board = self.config, self.board
        try:
            self.platform  # noqa: B018  (it checks itself)
        except BoardError as error:
            raise Unsupported(str(error), "choose another preset, board or --clock") from None
        try:
            packing = check_target(self.target)
        except ValueError as error:
            raise UsageError(str(error), "choose one of them with --target") from None
        chip = check_target(board.chip.target)
        if packing and chip and packing.primitive != chip.primitive:
            raise Unsupported(
                f"target {self.target} is made of {packing.primitive}, {board.name} has "
                f"{chip.primitive}",
                f"leave --target out, or choose {board.chip.target} or portable",
            )
        if packing and packing.ultra_ram and not board.chip.uram:
            raise Unsupported(
                f"target {self.target} needs UltraRAM, {board.name} has none",
                f"leave --target out, or choose {board.chip.target} or portable",
            )
        # Two products a slice is the best there is; the rest is known after synthesis.
        if config.macs_per_cycle > 2 * board.chip.dsp:
            raise Unsupported(
                f"{config.name} has {config.macs_per_cycle} multipliers, {board.name} has "
                f"{board.chip.dsp} DSP slices for two each",
                "choose a smaller preset or a larger board",
            )

    @property
    def platform(self) -> Platform:
        """Configuration, board and clock."""
        return Platform(self.config, self.board, self.requested_mhz)

    @property
    def target(self) -> str:
        """Form of the cells."""
        return self.requested_target or self.board.chip.target

    @property
    def clock(self) -> Clock:
        """The clock that the board really gives."""
        return self.platform.clock

    @property
    def name(self) -> str:
        """Stem of all files, with the hash: PYNQ never overwrites a file of the same name."""
        return f"weft_{self.board.name.replace('-', '_')}_{self.config.hash[:8]}"

    @property
    def ports(self) -> tuple[str, ...]:
        """Slave port of the processing system for each master of the accelerator."""
        return self.board.system.data_ports(self.config.axi_ports)

    @property
    def port_numbers(self) -> tuple[int, ...]:
        """Numbers of those ports."""
        return self.board.system.port_numbers(self.config.axi_ports)

    @property
    def clock_pins(self) -> dict[str, str]:
        """Pin of the processing system that clocks each of its ports, by port."""
        names = (self.board.system.master, *self.ports)
        if self.board.system.zynqmp:
            return {name: f"{name.replace('_AXI_', 'axi').lower()}_aclk" for name in names}
        return {name: f"{name}_ACLK" for name in names}
