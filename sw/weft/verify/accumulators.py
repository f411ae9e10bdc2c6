"""An accumulator row may not be in flight twice.

The sum of a row is readable h = R / L cycles after the row entered the array. Rows of a tile enter
one per cycle, and tiles start at least max(rows, h) cycles apart. So two uses of one accumulator
row must be h rows apart within a tile, and as far in time between the end of a tile and the start
of the next; with the next but one there is always time. A row that is first and last pass uses
none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weft.program.nest import MatmulNest
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction, Opcode

from .accesses import Touched, refuse
from .order import Order

__all__ = ["check_accumulators"]

Int = NDArray[np.int64]


class _Rows:
    """Accumulator rows of the tiles of one MATMUL that can meet those of a neighbour."""

    def __init__(self, index: int, nest: MatmulNest, tile_words: int) -> None:
        self.index = index
        self.period = max(nest.rows, tile_words)
        self.outer, inner = nest.acc.split(nest.tile_levels)
        self.inner = inner.values()
        self.first_tile = self.outer.base
        spans = zip(self.outer.counts, self.outer.strides)
        self.last_tile = self.outer.base + sum((c - 1) * s for c, s in spans)

    def steps(self) -> list[int]:
        """What the address adds from a tile to the next, each value once."""
        found, back = [], 0
        for count, stride in zip(self.outer.counts, self.outer.strides):
            if count > 1:
                found.append(stride - back)
            back += (count - 1) * stride
        return sorted(set(found))


def check_accumulators(
    instructions: Sequence[Instruction],
    touched: Sequence[Touched],
    config: AcceleratorConfig,
    order: Order,
) -> None:
    """Refuse two uses of an accumulator row within h cycles: rule ``accumulator``."""
    h = config.tile_words
    earlier: _Rows | None = None
    for index, item in enumerate(touched):
        if instructions[index].opcode is Opcode.SETUP:
            earlier = None
        if item.nest is None:
            continue
        first, last = item.nest.passes()
        if bool(np.all(first & last)):
            earlier = None
            continue
        rows = _Rows(index, item.nest, h)
        _check_within(rows, h)
        for step in rows.steps():
            _check_between(rows, rows, step, h)
        if earlier and not order.is_before(earlier.index, index):
            _check_between(earlier, rows, rows.first_tile - earlier.last_tile, h)
        earlier = rows


def _check_within(rows: _Rows, h: int) -> None:
    inner = rows.inner
    if np.all(np.diff(inner) > 0):
        return
    for distance in range(1, min(h, len(inner))):
        same = np.flatnonzero(inner[distance:] == inner[:-distance])
        if len(same):
            _refuse(rows, rows, rows.first_tile + int(inner[same[0]]), distance, h)


def _check_between(before: _Rows, after: _Rows, step: int, h: int) -> None:
    """Tiles of `before` and `after` follow each other; their first rows differ by `step`."""
    tail = np.arange(max(0, before.period - h + 1), len(before.inner))
    head = np.arange(min(h - 1, len(after.inner)))
    if not len(tail) or not len(head):
        return
    time = before.period + head[None, :] - tail[:, None]
    same = before.inner[tail][:, None] == after.inner[head][None, :] + step
    clash = np.argwhere(same & (time < h))
    if len(clash):
        a, b = clash[0]
        row = after.first_tile + int(after.inner[head[b]])
        _refuse(before, after, row, int(time[a, b]), h)


def _refuse(before: _Rows, after: _Rows, row: int, cycles: int, h: int) -> None:
    who = f"instruction {after.index}"
    if before is not after:
        who = f"instructions {before.index} and {after.index}"
    refuse(
        after.index,
        "accumulator",
        f"{who}: an accumulator row, for example {row}, is used again after {cycles} cycles; its "
        f"sum is ready after {h}",
        "let other rows come between, or give the next tile other accumulators",
    )
