"""A platform: a configuration on a board at a clock. DRAM, chip and times follow from it.

Standard library only: this is part of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass

from .boards import BOARDS, Board, BoardError, Clock, board_named
from .config import AcceleratorConfig

__all__ = ["Platform", "default_board", "platform"]

#: Boards that stand for their processing system where a configuration names no board.
_DEFAULTS = ("pynq-z2", "kv260")


@dataclass(frozen=True)
class Platform:
    """A configuration on a board.

    Parameters
    ----------
    config : AcceleratorConfig
    board : Board
    clock_mhz : float
        The clock that is asked for; any that the board's dividers reach.

    Raises
    ------
    BoardError
        The data ports of the board cannot carry those of the configuration, or it has no such
        clock.
    """

    config: AcceleratorConfig
    board: Board
    clock_mhz: float

    def __post_init__(self) -> None:
        config, system, name = self.config, self.board.system, self.board.name
        if config.axi_data_bits > system.port_bits:
            raise BoardError(
                f"{config.name} has data ports of {config.axi_data_bits} bits, those of "
                f"{name} have {system.port_bits}"
            )
        if config.axi_address_bits > system.address_bits:
            raise BoardError(
                f"{config.name} has addresses of {config.axi_address_bits} bits, those of "
                f"{name} have {system.address_bits}"
            )
        if config.axi_protocol == "axi3" and system.port_protocol != "axi3":
            raise BoardError(f"{config.name} has AXI3 ports, those of {name} are AXI4")
        system.port_numbers(config.axi_ports)
        system.clock(self.clock_mhz)

    @property
    def clock(self) -> Clock:
        """The clock that the board really gives: the fastest not above the one asked for."""
        return self.board.system.clock(self.clock_mhz)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.config.name} on {self.board.name} at {self.clock_mhz:g} MHz"


def default_board(config: AcceleratorConfig) -> Board:
    """The board that `config` names, or else the first default whose data ports take its own.

    Raises
    ------
    BoardError
        It names none that Weft knows, or none of the defaults fits.
    """
    if config.board:
        return board_named(config.board)
    for board in (BOARDS[name] for name in _DEFAULTS):
        system = board.system
        if (
            config.axi_protocol == system.port_protocol
            and config.axi_data_bits <= system.port_bits
            and config.axi_address_bits <= system.address_bits
        ):
            return board
    raise BoardError(
        f"{config.name} names no board, and its {config.axi_data_bits}-bit "
        f"{config.axi_protocol.upper()} ports with {config.axi_address_bits}-bit addresses fit "
        f"neither {' nor '.join(_DEFAULTS)}; the boards are {', '.join(BOARDS)}"
    )


def platform(
    config: AcceleratorConfig, board: str | None = None, clock_mhz: float | None = None
) -> Platform:
    """`config` on the board of that name, by default its own, at `clock_mhz`, by default its own.

    Raises
    ------
    BoardError
        As :func:`default_board` and :class:`Platform`.
    """
    chosen = default_board(config) if board is None else board_named(board)
    return Platform(config, chosen, config.clock_mhz if clock_mhz is None else clock_mhz)
