"""Where tensors lie in the arena: regions by lifetime, each at the lowest free place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .plan import REGION_ALIGN, round_up

__all__ = ["Region", "place_regions"]


@dataclass(frozen=True)
class Region:
    """`bytes` bytes that are needed from step `first` to step `last`, both included."""

    name: str
    bytes: int
    first: int
    last: int


def place_regions(regions: Iterable[Region], start: int) -> tuple[dict[str, int], int]:
    """(offset of each region by name, end of all), from `start` on.

    Regions are placed in their order, each at the lowest offset at which it meets no region that is
    needed at the same time. Offsets are multiples of REGION_ALIGN.
    """
    placed: list[tuple[int, int, Region]] = []
    offsets: dict[str, int] = {}
    top = round_up(start, REGION_ALIGN)
    for region in regions:
        busy = sorted(
            (at, end)
            for at, end, other in placed
            if other.first <= region.last and region.first <= other.last
        )
        at = round_up(start, REGION_ALIGN)
        for low, high in busy:
            if at + region.bytes <= low:
                break
            at = max(at, round_up(high, REGION_ALIGN))
        offsets[region.name] = at
        placed.append((at, at + region.bytes, region))
        top = max(top, round_up(at + region.bytes, REGION_ALIGN))
    return offsets, top
