"""What the benches of both bus ports have in common: an address map, and random bursts."""

from __future__ import annotations

import random

from weft_hw.config import BURST_BEATS, AcceleratorConfig
from weft_hw.dma.layouts import SLOTS

__all__ = ["BAD", "BASE", "MEMORY_BYTES", "addresses", "make_bad", "random_bursts", "refuse"]

MEMORY_BYTES = 1 << 14
#: Physical address of the arena; a multiple of the memory, which wraps.
BASE = 0x2000_0000
#: Accesses to this part are answered with SLVERR.
BAD = range(MEMORY_BYTES - 1024, MEMORY_BYTES)


def random_bursts(
    config: AcceleratorConfig, count: int, beats: int | None = None
) -> list[dict[str, int]]:
    """Bursts, each in a stripe of its own outside BAD; of `beats` beats where that is given."""
    found = []
    for stripe in random.sample(range(BAD.start // config.stripe_bytes), count):
        first = 0 if beats else random.randrange(BURST_BEATS)
        size = beats or random.randint(1, BURST_BEATS - first)
        offset = stripe * BURST_BEATS + first
        found.append({"offset": offset, "beats": size, "tag": random.randrange(SLOTS)})
    return found


def make_bad(config: AcceleratorConfig, burst: dict[str, int]) -> None:
    """Move a burst into BAD."""
    burst["offset"] = BAD.start // config.beat_bytes + burst["offset"] % BURST_BEATS


def addresses(config: AcceleratorConfig, burst: dict[str, int]) -> range:
    """First byte of each beat, from the arena's begin."""
    step = config.beat_bytes
    return range(burst["offset"] * step, (burst["offset"] + burst["beats"]) * step, step)


def refuse(address: int) -> None:
    """Raise where an access to a physical address has to fail; cocotbext-axi makes it SLVERR."""
    if address % MEMORY_BYTES in BAD:
        raise ValueError(f"{address:#x} is a bad address")
