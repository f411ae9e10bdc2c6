"""What open synthesis makes of an accelerator: cells per block, logic depth, and where it fits."""

from weft.synth.counts import CellCounts
from weft.synth.depth import Path
from weft.synth.fit import misfits, where
from weft.synth.run import Report, chip_of, synthesise

__all__ = ["CellCounts", "Path", "Report", "chip_of", "misfits", "synthesise", "where"]
