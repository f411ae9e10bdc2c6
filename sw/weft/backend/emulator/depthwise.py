"""DEPTHWISE: the living definition. The arithmetic is :mod:`weft_hw.numerics`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from weft.errors import Unsupported
from weft.program.window_nest import BLOCK_LEVEL, MAX_READS, WindowNest
from weft_hw import numerics
from weft_hw.isa import TAP_PARAMETERS, TAPS, ErrorCode, Instruction, Space

from .parameters import split_parameters
from .state import State, Stop

__all__ = ["depthwise"]

Int = NDArray[np.int64]


def depthwise(state: State, instruction: Instruction) -> None:
    """Slide a window over rows of pixels, R channels at a time.

    Each read of a line of R bytes is the newest of a stream. Where level 0 fires, line t of the
    stream, line t - delay1, and line t - delay1 - delay2 are multiplied with a word of each tap and
    added to the sums, which begin with the bias; the last read of a position makes them a result.
    """
    nest = WindowNest(instruction)
    if not nest.is_tractable:
        raise Unsupported(
            f"the emulator runs DEPTHWISEs of at most {MAX_READS} reads, not {nest.reads}",
            "divide it into several",
        )
    config, counts = state.config, nest.counts
    lines = state.spaces[Space.SCRATCHPAD].view(np.int8).reshape(-1, config.line_bytes)
    words = config.line_bytes // 4
    reads = _wrapped(nest.act.values(), nest.act.bits)
    taps = _wrapped(nest.tap.values(), nest.tap.bits)
    results = _wrapped(nest.result.values(), nest.result.bits)
    for name, at, size, limit in (
        ("activation", reads, words, config.scratchpad_words),
        ("tap", taps, nest.block_words, config.tap_words),
        ("result", results, words, config.scratchpad_words),
    ):
        if at.max(initial=0) + size > limit:
            bad = int(at[at + size > limit][0])
            raise Stop(ErrorCode.ADDRESS, f"{name} address {bad} is outside 0..{limit - size}")
    blocks = math.prod(counts[BLOCK_LEVEL:])
    per_row = counts[0] * counts[1] * counts[2]
    reads = reads.reshape(blocks, counts[3], per_row) // words
    results = results.reshape(blocks, counts[3], counts[2] - nest.skip) // words
    at = _fired(nest)
    delays = np.cumsum([0, instruction["delay1"], instruction["delay2"]])
    memory = state.spaces[Space.TAPS].view(np.int8).reshape(TAPS, -1, config.line_bytes)
    for block in range(blocks):
        parameters = memory[:, taps[block] : taps[block] + TAP_PARAMETERS].transpose(1, 0, 2)
        bias, multiplier, shift = split_parameters(
            np.ascontiguousarray(parameters).reshape(-1).view("<u8")[: config.rows]
        )
        first = taps[block] + TAP_PARAMETERS
        weights = memory[:, first : first + nest.phases].astype(np.int64)
        for row in range(counts[3]):
            stream = lines[reads[block, row]].astype(np.int64)
            sums = np.broadcast_to(bias, (len(at), config.rows))
            for tap in range(TAPS):
                # What would lie in front of the row is of no use to a verified program.
                pixels = stream[np.maximum(at - delays[tap], 0)]
                sums = sums + np.einsum("xpc,pc->xc", pixels, weights[tap])
            lines[results[block, row]] = _results(state, instruction, sums, multiplier, shift)


def _wrapped(addresses: Int, bits: int) -> Int:
    """As the generators of the core count them: modulo 2**bits."""
    return addresses & ((1 << bits) - 1)


def _fired(nest: WindowNest) -> Int:
    """int64 [positions that are kept, phases]: reads of a row that multiply."""
    c0, c1, c2 = nest.counts[:3]
    position = np.arange(nest.skip, c2)[:, None, None]
    phase = np.arange(c1)[None, :, None]
    found = (position * c1 + phase) * c0 + np.array(nest.fires, np.int64)
    return np.asarray(found.reshape(c2 - nest.skip, nest.phases))


def _results(
    state: State, instruction: Instruction, sums: Int, multiplier: Int, shift: Int
) -> NDArray[np.int8]:
    """int8 [positions, R] of the sums."""
    get = instruction.__getitem__
    y = numerics.requantise(
        numerics.wrap32(sums),
        multiplier,
        shift,
        pre=get("pre"),
        zero_point=get("zero_point"),
        low=get("low"),
        high=get("high"),
    ).astype(np.int8)
    if get("table_enable"):
        tables = state.spaces[Space.TABLES].view(np.int8).reshape(-1, numerics.TABLE_SIZE)
        y = numerics.lookup(tables[get("table")], y)
    return y
