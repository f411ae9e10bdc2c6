"""How the depthwise engine goes over a map: what it reads for a result, and which taps it uses.

A window slides along the rows of its map, or down its columns. Of each of its own rows it reads
what it newly covers; the engine has kept what came a few reads before. A read that fires takes
three columns of the kernel: that of the line just read, and those of the lines `delay1`, and
`delay1 + delay2`, reads before.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft.compiler.graph.windowed import Channels, WindowProblem
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import LAYOUTS, SUBSTEPS, TAP_DELAY_MAX, TAP_PARAMETERS, TAPS, Opcode, ResultType

__all__ = ["Walk", "walk_of"]

_SKIP_MAX = (1 << LAYOUTS[Opcode.DEPTHWISE]["skip"].width) - 1


@dataclass(frozen=True)
class Walk:
    """A way over a map.

    Parameters
    ----------
    across : bool
        Along rows; otherwise down columns. What follows is in pixels of that direction.
    reads : int
        Reads of one row of the kernel, for one result.
    step : int
        From one of them to the next.
    offset : int
        Of the very first, from the start of the first window.
    skip : int
        Positions in front of each row of results that read only.
    fire : int
        Bit i: read i is multiplied.
    columns : tuple of tuples
        For each that is: the columns of the kernel that its taps hold; -1: none.
    delays : int, int
        Reads between the lines of the taps.
    other : int
        Rows of the kernel.
    """

    across: bool
    reads: int
    step: int
    offset: int
    skip: int
    fire: int
    columns: tuple[tuple[int, ...], ...]
    delays: tuple[int, int]
    other: int

    @property
    def cycles(self) -> int:
        """Cycles for a result of R channels."""
        return self.reads * self.other

    @property
    def ahead(self) -> tuple[int, int]:
        """(lines, pixels) in front of the first window that are read."""
        before = max(0, -self.offset)
        return (0, before) if self.across else (before, 0)

    def block_words(self, config: AcceleratorConfig) -> int:
        """Words of the tap memory that a group of channels takes: whole granules."""
        grain = max(1, GRANULE_BYTES // config.line_bytes)
        return -(-(TAP_PARAMETERS + self.other * len(self.columns)) // grain) * grain


def _dense(kernel: int, dilation: int, other: int, across: bool) -> Walk | None:
    """Stride 1: each read is three columns on, or less where the kernel is no multiple of three."""
    for reads in range(-(-kernel // TAPS), SUBSTEPS + 1):
        step, rest = divmod(kernel - TAPS, max(1, reads - 1))
        if reads > 1 and (rest or step > TAPS):
            continue
        newest = [TAPS - 1 + i * step for i in range(reads)]
        left = set(range(kernel))
        columns: list[tuple[int, ...]] = []
        for column in reversed(newest):
            taps = [column - t if column - t in left else -1 for t in range(TAPS)]
            left -= set(taps)
            columns.insert(0, tuple(taps))
        delay, skip = reads * other * dilation, (TAPS - 1) * dilation
        if delay > TAP_DELAY_MAX or skip > _SKIP_MAX:
            return None
        fire = (1 << reads) - 1
        both = (delay, delay)
        return Walk(across, reads, step * dilation, 0, skip, fire, tuple(columns), both, other)
    return None


def _strided(kernel: int, other: int, across: bool) -> Walk | None:
    """Stride 2: reads come in pairs, and the second of a pair, the read before it, and its like of
    the position before are three columns."""
    reads = kernel - 1
    if kernel % 2 == 0 or not 2 <= reads <= SUBSTEPS or reads * other - 1 > TAP_DELAY_MAX:
        return None
    left = set(range(kernel))
    columns = []
    for newest in range(2, kernel, 2):
        taps = [newest - t if newest - t in left else -1 for t in range(TAPS)]
        left -= set(taps)
        columns.append(tuple(taps))
    fire = sum(1 << i for i in range(1, reads, 2))
    return Walk(across, reads, 1, -1, 1, fire, tuple(columns), (1, reads * other - 1), other)


def walk_of(config: AcceleratorConfig, problem: WindowProblem) -> Walk | None:
    """The way with the fewest reads for `problem`; None where the engine cannot do it."""
    window = problem.window
    suits = (
        config.tap_words
        and problem.kind is Channels.EACH
        and problem.result_type is ResultType.INT8
        and not problem.residual
        and problem.in_pixel % max(GRANULE_BYTES, config.line_bytes) == 0
    )
    if not suits:
        return None
    found = []
    for axis in (1, 0):
        kernel, other = window.kernel[axis], window.kernel[1 - axis]
        stride, dilation = window.stride[axis], window.dilation[axis]
        walk = None
        if kernel >= TAPS and stride == 1:
            walk = _dense(kernel, dilation, other, axis == 1)
        elif kernel >= TAPS and stride == 2 and dilation == 1:
            walk = _strided(kernel, other, axis == 1)
        if walk is not None and walk.block_words(config) <= config.tap_words:
            found.append(walk)
    return min(found, key=lambda walk: walk.cycles, default=None)
