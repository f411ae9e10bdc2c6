"""Sets of addresses that an instruction touches: blocks at affine addresses."""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weft.program.nest import Affine, grid

__all__ = ["MAX_BLOCKS", "MAX_KEPT_BYTES", "MAX_PROGRAM_BLOCKS", "Region", "overlap"]

Int = NDArray[np.int64]
#: Blocks that are listed one by one; a region of more counts as everything between its bounds.
MAX_BLOCKS = 1 << 20
#: Blocks of all accesses of a program: what the checks spend memory and time on.
MAX_PROGRAM_BLOCKS = 1 << 23
#: Bytes of the lists that are kept for regions that come again.
MAX_KEPT_BYTES = 128 << 20


@dataclass(frozen=True)
class Region:
    """`size` units at ``start + sum(index * stride)`` for every combination of indices.

    Parameters
    ----------
    start : int, smallest address
    size : int, units of one block
    levels : ((stride, count), ...), strides positive and ascending, counts at least 2
    """

    start: int
    size: int
    levels: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, start: int, size: int, levels: Iterable[tuple[int, int]]) -> Region:
        """Normal form: levels that only repeat are dropped, levels that leave no gap merged."""
        kept = []
        for stride, count in levels:
            if count > 1 and stride:
                start += min(stride, 0) * (count - 1)
                kept.append((abs(stride), count))
        rest: list[tuple[int, int]] = []
        for stride, count in sorted(kept):
            if stride <= size and not rest:
                size += stride * (count - 1)
            else:
                rest.append((stride, count))
        if math.prod(count for _, count in rest) > MAX_BLOCKS:
            size += sum(stride * (count - 1) for stride, count in rest)
            rest = []
        return cls(start, size, tuple(rest))

    @classmethod
    def of_affine(cls, affine: Affine, size: int, unit: int = 1) -> Region:
        """`size` units at every address of `affine`, whose step is `unit` units."""
        levels = [(s * unit, c) for s, c in zip(affine.strides, affine.counts)]
        return cls.of(affine.base * unit, size, levels)

    @property
    def blocks(self) -> int:
        """How many blocks are listed, those that coincide included."""
        return math.prod(count for _, count in self.levels)

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.start + sum(s * (c - 1) for s, c in self.levels) + self.size

    def intervals(self) -> tuple[Int, Int]:
        """(starts, ends), int64 [blocks]: ascending and disjoint."""
        return _KEPT.of(self)


class _Kept:
    """Intervals of the regions that were asked for last, by what they weigh and not by number."""

    def __init__(self, limit: int) -> None:
        self.limit, self._bytes = limit, 0
        self._found: OrderedDict[Region, tuple[Int, Int]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, region: Region) -> tuple[Int, Int]:
        with self._lock:
            if region in self._found:
                self._found.move_to_end(region)
                return self._found[region]
            found = self._found[region] = _listed(region)
            self._bytes += sum(part.nbytes for part in found)
            while self._bytes > self.limit and len(self._found) > 1:
                _, old = self._found.popitem(last=False)
                self._bytes -= sum(part.nbytes for part in old)
            return found


def _listed(region: Region) -> tuple[Int, Int]:
    starts = np.unique(grid(region.start, region.levels))
    # Blocks have one size, so a block that touches the one before continues its interval.
    heads = np.flatnonzero(np.r_[True, np.diff(starts) > region.size])
    ends = starts[np.r_[heads[1:] - 1, len(starts) - 1]] + region.size
    return starts[heads], ends


_KEPT = _Kept(MAX_KEPT_BYTES)


@functools.lru_cache(maxsize=1 << 14)
def overlap(a: Region, b: Region) -> tuple[int, int] | None:
    """(first, end) of a range of addresses that both contain; None where there is none."""
    if a.start >= b.end or b.start >= a.end:
        return None
    if not a.levels and not b.levels:
        return max(a.start, b.start), min(a.end, b.end)
    (a_starts, a_ends), (b_starts, b_ends) = a.intervals(), b.intervals()
    # For each interval of a, the first of b that ends behind its start.
    at = np.searchsorted(b_ends, a_starts, side="right")
    inside = at < len(b_starts)
    hit = np.flatnonzero(inside & (b_starts[np.minimum(at, len(b_starts) - 1)] < a_ends))
    if not len(hit):
        return None
    i, j = hit[0], at[hit[0]]
    return int(max(a_starts[i], b_starts[j])), int(min(a_ends[i], b_ends[j]))
