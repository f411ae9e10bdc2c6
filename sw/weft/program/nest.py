"""Address arithmetic of the six-level loop nest of a MATMUL. Standard library and numpy.

Level 0 is the fastest. When level i steps, and the levels below return to their start, an address
moves by ``jump[i]``; so an address is affine in the indices, with
``stride[i] = jump[i] + sum((count[j] - 1) * stride[j] for j < i)``. The core counts modulo 2**bits
of the address field; the verifier accepts no program that comes round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weft_hw.isa import LAYOUTS, LOOP_LEVELS, Instruction, Opcode

__all__ = ["MAX_TILES", "MAX_TILE_ROWS", "Affine", "MatmulNest", "grid", "strides"]

Int = NDArray[np.int64]
#: Software follows nests up to here; no memory of an accelerator has use for more.
MAX_TILE_ROWS = MAX_TILES = 1 << 20


def strides(counts: Sequence[int], jumps: Sequence[int]) -> tuple[int, ...]:
    """What one step of each level alone adds to an address."""
    found: list[int] = []
    back = 0
    for count, jump in zip(counts, jumps):
        found.append(jump + back)
        back += (count - 1) * found[-1]
    return tuple(found)


def grid(base: int, levels: Iterable[tuple[int, int]]) -> Int:
    """int64 [product of counts]: `base` and what (stride, count) levels add, the first fastest."""
    found = np.array([base], np.int64)
    for stride, count in levels:
        if count > 1:
            found = (np.arange(count, dtype=np.int64)[:, None] * stride + found).reshape(-1)
    return found


@dataclass(frozen=True)
class Affine:
    """``base + sum(index[i] * stride[i])``, 0 <= index[i] < count[i]; level 0 is the fastest."""

    base: int
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    #: Width of the address; the generators of the core count modulo 2**bits.
    bits: int = 62

    def bounds(self) -> tuple[int, int]:
        """(smallest, largest) address, without the modulus."""
        spans = [(c - 1) * s for c, s in zip(self.counts, self.strides)]
        return self.base + sum(min(s, 0) for s in spans), self.base + sum(max(s, 0) for s in spans)

    def values(self) -> Int:
        """int64 [product of counts]: all addresses, in order of the nest, without the modulus."""
        return grid(self.base, zip(self.strides, self.counts))

    def split(self, level: int) -> tuple[Affine, Affine]:
        """(levels from `level` on, with the base; levels below it, from zero)."""
        return (
            Affine(self.base, self.counts[level:], self.strides[level:], self.bits),
            Affine(0, self.counts[:level], self.strides[:level], self.bits),
        )


class MatmulNest:
    """The nest of one MATMUL under the jumps of the SETUP in force.

    Attributes
    ----------
    counts : 6 ints; tile_levels : int
    rows : int, iterations of one tile; tiles : int; see ``is_tractable``
    act, acc, result : Affine over 6 levels, in words, rows, words.
    weight, parameter : Affine over the levels from tile_levels on, in words and pairs.
    touches_parameters : whether some tile is a first or a last pass; writes_results : a last one
    """

    def __init__(self, instruction: Instruction, setup: Instruction | None) -> None:
        get = instruction.__getitem__
        self.counts = instruction.vector("count")
        self.tile_levels = get("tile_levels")
        self.rows = math.prod(self.counts[: self.tile_levels])
        self.tiles = math.prod(self.counts[self.tile_levels :])
        none = (0,) * LOOP_LEVELS
        result_jumps = setup.vector("result_jump") if setup else none
        parameter_jumps = setup.vector("parameter_jump") if setup else none

        def affine(name: str, jumps: Sequence[int]) -> Affine:
            bits = LAYOUTS[Opcode.MATMUL][f"{name}_address"].width
            return Affine(get(f"{name}_address"), self.counts, strides(self.counts, jumps), bits)

        def outer(name: str, jumps: Sequence[int]) -> Affine:
            kept = [0] * self.tile_levels + list(jumps[self.tile_levels :])
            return affine(name, kept).split(self.tile_levels)[0]

        self.act = affine("act", instruction.vector("act_jump"))
        self.acc = affine("acc", instruction.vector("acc_jump"))
        self.result = affine("result", result_jumps)
        self.weight = outer("weight", instruction.vector("weight_jump"))
        self.parameter = outer("parameter", parameter_jumps)
        self._reduction = get("reduction")
        self._first, self.writes_results = bool(get("first")), bool(get("last"))
        self.touches_parameters = self._first or self.writes_results

    def reduces(self, level: int) -> bool:
        """Whether `level` runs along K."""
        return bool(self._reduction >> level & 1)

    def passes(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(bool [tiles], bool [tiles]): the tile is a first pass; it is a last pass."""
        first, last = np.array([self._first]), np.array([self.writes_results])
        for level in range(self.tile_levels, LOOP_LEVELS):
            index = np.arange(self.counts[level])[:, None]
            reduces = self.reduces(level)
            at_start = (index == 0) if reduces else np.ones_like(index, bool)
            at_end = (index == self.counts[level] - 1) if reduces else np.ones_like(index, bool)
            first = (at_start & first).reshape(-1)
            last = (at_end & last).reshape(-1)
        return first, last

    @property
    def is_tractable(self) -> bool:
        """Whether rows and tiles are within MAX_TILE_ROWS and MAX_TILES."""
        return self.rows <= MAX_TILE_ROWS and self.tiles <= MAX_TILES
