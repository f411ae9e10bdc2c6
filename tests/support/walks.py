"""Random transfers, and a naive splitter of them into the bursts of a port."""

from __future__ import annotations

import random

from weft_hw.config import AcceleratorConfig
from weft_hw.dma.layouts import SLOTS
from weft_hw.isa import Space, space_words


def naive(config: AcceleratorConfig, port: int, t: dict[str, int], arena_bytes: int) -> list:
    """Pieces of `port`, beat by beat; None ends the list where a burst is refused."""
    beat, group = config.beat_bytes, []
    for row in range(t["rows"]):
        for i in range(t["length"]):
            at = t["offset"] + row * t["pitch"] + i
            on_chip = t["chip"] + row * t["chip_pitch"] + i
            if at // 16 % config.axi_ports != port:
                continue
            if group and i and group[-1][0] + group[-1][1] == at and at % 16:
                group[-1][1] += 1
            else:
                group.append([at, 1, on_chip])
    pieces = []
    end_of_row = [t["offset"] + (t["rows"] - 1) * t["pitch"], t["length"]]
    for at, beats, on_chip in group:
        if (at + beats) * beat > arena_bytes:
            return [*pieces, "ARENA"]
        if (on_chip + beats) * beat > 4 * space_words(Space(t["space"]), config):
            return [*pieces, "ADDRESS"]
        pieces.append([at, beats, on_chip, t["space"], t["tag"], 0])
    # The last burst carries the mark where it lies in the last row; else a bare marker does.
    if pieces and group[-1][0] >= end_of_row[0]:
        pieces[-1][-1] = 1
    else:
        pieces.append([None, 0, None, t["space"], t["tag"], 1])
    return pieces


def random_walk(rng: random.Random, config: AcceleratorConfig) -> dict[str, int]:
    """A transfer of a few rows, as the fields of ``layouts.transfer_layout``."""
    even = 16 // config.beat_bytes
    length = even * rng.choice([1, 2, 3, 8, 16, rng.randint(1, 200)])
    space = rng.choice(list(Space))
    return {
        "offset": even * rng.randrange(1 << 10),
        "pitch": length + even * rng.choice([0, 1, 5, 8, 16, 31]),
        "rows": rng.randint(1, 12),
        "length": length,
        "chip": rng.randrange(64),
        "chip_pitch": length + rng.randrange(3),
        "space": int(space),
        "tag": rng.randrange(SLOTS),
    }
