"""Address arithmetic of the loop nest of a DEPTHWISE. Standard library and numpy.

Levels 0 and 1 are the reads of one position of the window, level 2 moves it along a row, level 3 to
the next row, levels 4 and 5 to other channels, which have another block of taps.
"""

from __future__ import annotations

import math

from weft_hw.isa import LAYOUTS, LOOP_LEVELS, SUBSTEPS, TAP_PARAMETERS, Instruction, Opcode

from .nest import Affine, strides

__all__ = ["BLOCK_LEVEL", "MAX_READS", "ROW_LEVEL", "WindowNest"]

#: The level that moves the window, and the first that changes its taps.
ROW_LEVEL, BLOCK_LEVEL = 2, 4
#: Software follows nests up to here.
MAX_READS = 1 << 22


class WindowNest:
    """The nest of one DEPTHWISE.

    Attributes
    ----------
    counts : 6 ints
    fires : iterations of level 0 that multiply
    phases : multiplications for one result, each with a word of every tap
    skip : positions of a row that read only
    act : Affine over 6 levels, in words
    result : Affine over levels 2 to 5, in words; of level 2 without what is skipped
    tap : Affine over levels 4 and 5, in words of the tap memory
    """

    def __init__(self, instruction: Instruction) -> None:
        get = instruction.__getitem__
        self.counts = instruction.vector("count")
        self.fires = tuple(
            i for i in range(min(self.counts[0], SUBSTEPS)) if get("fire") >> i & 1
        )
        self.phases = self.counts[1] * len(self.fires)
        self.skip = get("skip")

        def affine(name: str, level: int, counts: tuple[int, ...]) -> Affine:
            jumps = instruction.vector(f"{name}_jump")[level:]
            bits = LAYOUTS[Opcode.DEPTHWISE][f"{name}_address"].width
            return Affine(get(f"{name}_address"), counts, strides(counts, jumps), bits)

        kept = (self.counts[ROW_LEVEL] - self.skip, *self.counts[ROW_LEVEL + 1 :])
        self.act = affine("act", 0, self.counts)
        self.result = affine("result", ROW_LEVEL, kept)
        self.tap = affine("tap", BLOCK_LEVEL, self.counts[BLOCK_LEVEL:])

    @property
    def block_words(self) -> int:
        """Words of a block of taps."""
        return TAP_PARAMETERS + self.phases

    @property
    def reads(self) -> int:
        """Lines that are read."""
        return math.prod(self.counts)

    @property
    def results(self) -> int:
        """Lines that are written."""
        return math.prod(self.result.counts)

    @property
    def cycles(self) -> int:
        """Cycles that lines take: one for each, two for a result whose window is one line."""
        kept = self.result.counts[0]
        rows = math.prod(self.counts[ROW_LEVEL + 1 :])
        alone = self.counts[0] * self.counts[1] == 1
        return self.reads + (rows * (kept - 1) if alone else 0)

    @property
    def is_tractable(self) -> bool:
        """Whether the reads are within MAX_READS."""
        return self.reads <= MAX_READS

    def reaches_back(self, delays: int) -> bool:
        """Whether a tap `delays` reads behind would be in front of its row for some result."""
        first = self.skip * self.counts[0] * self.counts[1] + min(self.fires, default=0)
        return delays > first


assert LOOP_LEVELS == BLOCK_LEVEL + 2
