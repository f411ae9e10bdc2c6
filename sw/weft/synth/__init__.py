"""What open synthesis makes of an accelerator: cells per block, logic depth, and where it fits."""

from .counts import CellCounts
from .depth import Path
from .fit import misfits, where
from .run import Report, synthesise

__all__ = ["CellCounts", "Path", "Report", "misfits", "synthesise", "where"]
