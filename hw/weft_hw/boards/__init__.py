"""Boards: the only place of their facts. Chip, processing system, DRAM, what PYNQ says of them.

Standard library only: this is part of the contract.
"""

from .chips import CHIPS, RESOURCES, Chip
from .processing_system import ZYNQ7, ZYNQMP, BoardError, Clock, ProcessingSystem
from .table import (
    BOARDS,
    PYNQ_BOARDS,
    Board,
    Dram,
    PynqImage,
    board_named,
    pynq_board,
)

__all__ = [
    "BOARDS",
    "CHIPS",
    "PYNQ_BOARDS",
    "RESOURCES",
    "ZYNQ7",
    "ZYNQMP",
    "Board",
    "BoardError",
    "Chip",
    "Clock",
    "Dram",
    "ProcessingSystem",
    "PynqImage",
    "board_named",
    "pynq_board",
]
