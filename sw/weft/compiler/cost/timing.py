"""Cycles of the gateware that the model knows, and how long a transfer's data take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from weft.dram import MemoryModel
from weft_hw.config import BURST_BEATS, AcceleratorConfig
from weft_hw.isa import Instruction

__all__ = ["TIMING", "Timing", "matmul_cycles", "port_cycles", "tile_cycles"]


@dataclass(frozen=True)
class Timing:
    """Cycles of the gateware that do not follow from the configuration."""

    #: Doorbell to the first fetch request at the bus.
    doorbell: int = 7
    #: Last beat of an instruction to its place in a queue: word assembly, checks.
    decode: int = 7
    #: Push into an empty queue to the offer to the unit; also between two offers.
    issue: int = 3
    #: Bursts of instructions that fetch holds or has asked for.
    fetch_bursts: int = 4
    #: Start of a load to its first read address on the bus.
    load_front: int = 6
    #: Last read beat to the retirement: striping queues, memory write, post.
    load_back: int = 8
    #: Start of a store to its first write beat: addresses, scratchpad reads.
    store_front: int = 16
    #: Last write response to the retirement.
    store_back: int = 4
    #: Cycles of a port per burst besides its beats.
    burst_gap: int = 0
    #: Latency of a burst within the DMA, besides that of the DRAM.
    round_trip: int = 8
    #: Cycles between the rows of a transfer in its address generator.
    row_cycles: int = 2
    #: A started MATMUL to its first row, with its weights in the array.
    compute_front: int = 4
    #: More than R / L, where the weights were not fetched ahead.
    weights_front: int = 5
    #: More than R + C/2, from the issue of the last row to the retirement.
    compute_back: int = 24
    #: A started DEPTHWISE to its first slot, and its last one to the retirement.
    depthwise_front: int = 3
    depthwise_back: int = 20
    #: Slots between two blocks of taps.
    depthwise_gap: int = 4
    #: Last retirement to done.
    done: int = 5


TIMING = Timing()


@lru_cache(maxsize=4096)
def _port_cycles(
    start: int,
    pitch: int,
    rows: int,
    size: int,
    shape: tuple[int, int, int, int, int, int],
) -> list[float]:
    """Cycles that each port needs for the bursts of a transfer, alone on the DRAM.

    `start` and `pitch` are taken modulo the bytes of one stripe on every port.
    """
    ports, beat, stripe, round_trip, outstanding, gap = shape
    around = stripe * ports
    period = around // math.gcd(pitch, around) if pitch else 1
    cost = [0.0] * ports
    least = round_trip / outstanding

    def row(at: int, weight: float) -> None:
        stop = at + size
        whole = (stop - at) // around - 1
        if whole > 0:  # the middle is equal on every port
            for p in range(ports):
                cost[p] += weight * whole * max(BURST_BEATS + gap, least)
            at += whole * around
        while at < stop:
            end = min((at // stripe + 1) * stripe, stop)
            beats = -(-(end - at) // beat)
            cost[at // stripe % ports] += weight * max(beats + gap, least)
            at = end

    full, rest = divmod(rows, period)
    for r in range(min(period, rows)):
        row((start + r * pitch) % around, full + (r < rest))
    return cost


def port_cycles(
    offset: int,
    pitch: int,
    rows: int,
    size: int,
    write: bool,
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing,
) -> float:
    """Cycles that the data of a transfer take, alone on the DRAM: those of the busiest port.

    Latency is not counted.
    """
    latency, outstanding = (
        (memory.write_latency, config.write_outstanding)
        if write
        else (memory.read_latency, config.read_outstanding)
    )
    around = config.stripe_bytes * config.axi_ports
    port = (config.axi_ports, config.beat_bytes, config.stripe_bytes)
    shape = (*port, latency + timing.round_trip, outstanding, timing.burst_gap)
    cost = _port_cycles(offset % around, pitch % around if rows > 1 else 0, rows, size, shape)
    walk = float(rows * timing.row_cycles) if rows > 1 else 0.0
    return max(max(cost), walk)


def tile_cycles(
    rows: int,
    tiles: int,
    last: int,
    result_bytes: int,
    config: AcceleratorConfig,
    residual: bool = False,
) -> int:
    """Cycles of the array for `rows` rows past each of `tiles` tiles.

    `last` of these tiles end a reduction, and send results of `result_bytes` bytes each, to which a
    `residual` may be added.
    """
    period = max(rows, config.tile_words)
    paced = max(period, rows * config.row_cycles(result_bytes, residual), config.cols // 2)
    return (tiles - last) * period + last * paced


def matmul_cycles(
    instruction: Instruction, result_bytes: int, config: AcceleratorConfig, residual: bool = False
) -> int:
    """:func:`tile_cycles` of a MATMUL whose results have `result_bytes` bytes each."""
    counts, levels = instruction.vector("count"), instruction["tile_levels"]
    rows, tiles = math.prod(counts[:levels]), math.prod(counts[levels:])
    mask = instruction["reduction"]
    reduced = math.prod(c for i, c in enumerate(counts) if mask >> i & 1)
    last = tiles // reduced if instruction["last"] else 0
    return tile_cycles(rows, tiles, last, result_bytes, config, residual)
