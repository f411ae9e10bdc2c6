"""What open synthesis makes of an accelerator: cells per block, logic depth, and where it fits."""

from .counts import CellCounts
from .depth import Path
from .fit import misfits, where
from .run import Report, chip_of, synthesise

__all__ = ["CellCounts", "Path", "Report", "chip_of", "misfits", "synthesise", "where"]
