"""Strides, jumps and addresses of random nests that stay within a memory."""

from __future__ import annotations

import math

from choices import Choices
from weft.program.nest import Affine, strides
from weft_hw.isa import LAYOUTS, LOOP_LEVELS, Opcode

__all__ = ["jump_fields", "placed", "random_counts", "random_strides", "vector"]

#: Rows of one MATMUL; the loop-by-loop emulator takes about 50 us for each.
MAX_ROWS = 120


def random_counts(choices: Choices, h: int) -> tuple[list[int], int]:
    """(iterations of each level, levels inside a tile); `h` is R / L."""
    levels = choices.pick([1, 1, 1, 2, 3, choices.integer(1, 5)])
    counts = [choices.pick([1, 2, h - 1, h, h + 1, 2 * h, choices.integer(1, 20)])]
    counts += [choices.pick([1, 1, 1, 2, 2, 3]) for _ in range(LOOP_LEVELS - 1)]
    while math.prod(counts) > MAX_ROWS:
        counts[counts.index(max(counts))] //= 2
    return counts, levels


def random_strides(
    choices: Choices, counts: list[int], step: int, span: int, first: int = 0
) -> list[int]:
    """Strides, multiples of `step`, whose addresses spread over less than `span`."""
    found = []
    dense = step
    for level, count in enumerate(counts):
        options = [dense, dense, 0, step, -step, step * choices.integer(-6, 6)]
        stride = choices.pick(options) if level >= first else 0
        if abs(stride) * (count - 1) >= span:
            stride = 0
        span -= abs(stride) * (count - 1)
        if level >= first:
            dense *= count
        found.append(stride)
    return found


def jump_fields(name: str, counts: list[int], steps: list[int], first: int = 0) -> dict[str, int]:
    """Fields of the jumps that give strides `steps`; {} where one does not fit."""
    jumps, back = {}, 0
    for level, (count, stride) in enumerate(zip(counts, steps)):
        if level >= first:
            jumps[f"{name}{level}"] = stride - back
        back += (count - 1) * stride
    opcodes = {"result_jump": Opcode.SETUP, "parameter_jump": Opcode.SETUP,
               "tap_jump": Opcode.DEPTHWISE}
    opcode = opcodes.get(name, Opcode.MATMUL)
    layout = LAYOUTS[opcode]
    fits = all(layout[n].low <= v <= layout[n].high for n, v in jumps.items())
    return jumps if fits else {}


def placed(
    choices: Choices,
    name: str,
    counts: list[int],
    jumps: dict[str, int],
    step: int,
    size: int,
    limit: int,
) -> dict[str, int]:
    """`jumps`, with a random address from which the nest stays in 0..limit-1; {} if none."""
    affine = Affine(0, tuple(counts), strides(counts, vector(jumps)))
    low, high = affine.bounds()
    first, room = -low, limit - size - high
    first = -(-first // step) * step
    if room < first:
        return {}
    at = first + step * choices.integer(0, (room - first) // step)
    return {**jumps, f"{name}_address": at}


def vector(jumps: dict[str, int]) -> list[int]:
    """Six jumps in order of their levels, from fields whose names end in the level."""
    found = [0] * LOOP_LEVELS
    for name, value in jumps.items():
        found[int(name[-1])] = value
    return found
