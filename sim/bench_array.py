"""The systolic array: another matrix in every tile, tiles as close as the period allows."""

from __future__ import annotations

import random

import cocotb
import numpy as np

from runner import parameters
from streams import Lockstep
from weft_hw.compute.array import REGION_ROWS, psum_bits
from weft_hw.config import PRESETS

CONFIG = PRESETS[parameters()["preset"]]
R, C, L, H = CONFIG.rows, CONFIG.cols, CONFIG.weight_rows_per_cycle, CONFIG.tile_words
#: Smallest weight: packed cells do not take -128.
LEAST = parameters()["least_weight"]
TILES = 5
REGIONS = (1 << H // REGION_ROWS) - 1


class Schedule:
    """Inputs by cycle; what no row and no shift needs is random."""

    def __init__(self, cycles):
        rng = np.random.default_rng(random.getrandbits(32))
        self.rng = rng
        self.act = rng.integers(-128, 128, (cycles, R), dtype=np.int8)
        self.weight = rng.integers(-128, 128, (cycles, L, C), dtype=np.int8)
        self.swap, self.shift, self.copy = (np.zeros(cycles, bool) for _ in range(3))
        self.sums: dict[int, np.ndarray] = {}

    def extremes(self, low, shape):
        """Random int8 values, of which many are the least or the largest."""
        values = self.rng.integers(low, 128, shape)
        edge = self.rng.random(shape) < random.choice((0.0, 0.3, 1.0))
        return np.where(edge, self.rng.choice([low, 127], shape), values).astype(np.int8)

    def add_tile(self, shifts, copy, rows):
        """A tile whose words enter in the cycles `shifts`; its rows come in the cycles `rows`."""
        matrix = self.extremes(LEAST, (R, C))
        for j, cycle in enumerate(shifts):
            self.shift[cycle] = True
            for g in range(L):
                self.weight[cycle + g * H, g] = matrix[g * H + j]
        self.copy[copy] = True
        self.swap[rows[0]] = True
        for cycle in rows:
            self.act[cycle] = self.extremes(-128, R)
            self.sums[cycle] = self.act[cycle].astype(int) @ matrix.astype(int)


def schedule(m: int, gaps: bool) -> Schedule:
    """TILES tiles of `m` rows: a tile every max(M, R/L) cycles, or with random gaps."""
    plan = Schedule((TILES + 2) * (4 * (m + H) + R) + R + C)
    first = H + 1
    last_copy, last_first = 0, None
    for _ in range(TILES):
        spread = random.randint(0, H) if gaps else 0
        first += spread
        rows, cycle = [], first
        for _ in range(m):
            rows.append(cycle)
            cycle += 1 + (random.randint(0, 2) if gaps else 0)
        # The copy comes after all rows of the tile before have taken theirs.
        earliest = last_copy + H if last_first is None else max(last_copy, last_first - 1) + H
        copy = random.randint(earliest, first - 1) if gaps else first - 1
        open_cycles = range(last_copy, copy)
        shifts = sorted(random.sample(open_cycles, H)) if gaps else open_cycles[-H:]
        plan.add_tile(shifts, copy, rows)
        last_copy, last_first = copy, first
        first = max(cycle, first + H)
    return plan


@cocotb.test()
async def tiles(dut):
    """M = 1, 2, R/L-1, R/L, R/L+1, R, R+1: every column sum at its claimed cycle."""
    bench = await Lockstep(dut).begin(act=0, swap=0, weight=0, shift=0, copy=0)
    columns = [1 << psum_bits(CONFIG) * c for c in range(C)]
    mask, sign = (1 << psum_bits(CONFIG)) - 1, 1 << psum_bits(CONFIG) - 1
    for m in sorted({1, 2, H - 1, H, H + 1, R, R + 1}):
        plan = schedule(m, bool(parameters()["stall"]))
        await bench.reset()
        checked = 0
        for now in range(max(plan.sums) + parameters()["latency"] + C // 2):
            for name in ("act", "weight"):
                bench.set(name, int.from_bytes(getattr(plan, name)[now].tobytes(), "little"))
            bench.set("swap", plan.swap[now])
            for name in ("shift", "copy"):  # a bit for every region of rows
                bench.set(name, REGIONS * int(getattr(plan, name)[now]))
            await bench.settle()
            raw = None
            for p in range(C // 2):
                want = plan.sums.get(now - parameters()["latency"] - p)
                if want is None:
                    continue
                raw = bench.get("psum") if raw is None else raw
                for c in (2 * p, 2 * p + 1):
                    got = (raw // columns[c] & mask ^ sign) - sign
                    assert got == want[c], f"M {m}, cycle {now}, column {c}"
                    checked += 1
            await bench.edge()
        assert checked == TILES * m * C
