"""Loops of one MATMUL, and the fields that make them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from weft_hw.isa import LOOP_LEVELS

__all__ = ["Loop", "Nest", "jumps_of"]


@dataclass(frozen=True)
class Loop:
    """`count` iterations, and what each adds to the addresses.

    Parameters
    ----------
    count : int, >= 1
    act, result : words; weight : weight buffer words; acc : rows; parameter : pairs
    reduces : whether it runs along K
    """

    count: int
    act: int = 0
    weight: int = 0
    acc: int = 0
    result: int = 0
    parameter: int = 0
    reduces: bool = False

    @property
    def strides(self) -> tuple[int, ...]:
        """What a step adds to each address."""
        return (self.act, self.weight, self.acc, self.result, self.parameter)


@dataclass(frozen=True)
class Nest:
    """Loops, the innermost first, of which `tile_levels` stream rows past one tile.

    Raises
    ------
    ValueError
        There are more loops than levels.
    """

    loops: tuple[Loop, ...]
    tile_levels: int

    def __post_init__(self) -> None:
        if len(self.loops) > LOOP_LEVELS:
            raise ValueError(f"a nest has {LOOP_LEVELS} loops at most, not {len(self.loops)}")

    @classmethod
    def of(cls, tile: Sequence[Loop], outer: Sequence[Loop]) -> Nest:
        """The nest of loops inside a tile, and around it: as few as say the same."""
        inside = _merged(tile) or [Loop(1)]
        return cls((*inside, *_merged(outer)), len(inside))

    @property
    def rows(self) -> int:
        """Rows of one tile."""
        return math.prod(loop.count for loop in self.loops[: self.tile_levels])

    @property
    def tiles(self) -> int:
        """How often a tile is loaded into the array."""
        return math.prod(loop.count for loop in self.loops[self.tile_levels :])

    @property
    def sums(self) -> int:
        """Tiles that end a reduction."""
        return math.prod(loop.count for loop in self.loops[self.tile_levels :] if not loop.reduces)

    def matmul_fields(self) -> dict[str, int]:
        """Fields of a MATMUL but for addresses and passes."""
        counts = [loop.count for loop in self.loops] + [1] * (LOOP_LEVELS - len(self.loops))
        fields = {f"count{i}": count for i, count in enumerate(counts)}
        fields["tile_levels"] = self.tile_levels
        fields["reduction"] = sum(loop.reduces << i for i, loop in enumerate(self.loops))
        fields |= self._jumps("act_jump", lambda loop: loop.act)
        fields |= self._jumps("weight_jump", lambda loop: loop.weight, self.tile_levels)
        return fields | self._jumps("acc_jump", lambda loop: loop.acc)

    def setup_fields(self) -> dict[str, int]:
        """Fields of the SETUP: where level steps move results and parameters."""
        fields = self._jumps("result_jump", lambda loop: loop.result)
        return fields | self._jumps("parameter_jump", lambda loop: loop.parameter, self.tile_levels)

    def _jumps(self, name: str, stride: Callable[[Loop], int], first: int = 0) -> dict[str, int]:
        """Jumps of levels from `first` on, below which nothing moves."""
        counts = [loop.count for loop in self.loops]
        return jumps_of(name, counts, [stride(loop) for loop in self.loops], first)


def jumps_of(
    name: str, counts: Sequence[int], steps: Sequence[int], first: int = 0
) -> dict[str, int]:
    """Jumps of levels from `first` on, below which nothing moves, where each level alone adds as
    much as `steps` says; in fields."""
    found, back = {}, 0
    for level, (count, step) in list(enumerate(zip(counts, steps)))[first:]:
        found[f"{name}{level}"] = step - back
        back += (count - 1) * step
    return found


def _merged(loops: Sequence[Loop]) -> list[Loop]:
    """Loops of one iteration are left out; one that goes on where the last one ends joins it."""
    found: list[Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if found:
            last = found[-1]
            goes_on = loop.strides == tuple(s * last.count for s in last.strides)
            together = last.count * loop.count
            if goes_on and loop.reduces == last.reduces and together < 1 << 16:
                found[-1] = replace(last, count=together)
                continue
        found.append(loop)
    return found
