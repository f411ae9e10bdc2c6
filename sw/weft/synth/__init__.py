"""Verilog to cells, logic depth, clock rate, fit and bitstream."""

from .counts import CellCounts
from .depth import Path
from .fit import misfits, where
from .run import Report, synthesise

__all__ = ["CellCounts", "Path", "Report", "misfits", "synthesise", "where"]
