"""The watchdog against a count of cycles."""

from __future__ import annotations

import cocotb

from runner import parameters
from streams import Lockstep, Pauses
from weft_hw.control.watchdog import Watchdog


class Model:
    """Whether the watchdog has expired: `limit` cycles in a row without progress, LATENCY ago."""

    def __init__(self, bench):
        self.bench, self.still, self.expected = bench, 0, [False] * Watchdog.LATENCY
        self.expiries = 0

    def step(self, limit, progress):
        self.still = 0 if progress else self.still + 1
        self.expected.append(0 < limit <= self.still)
        want = self.expected.pop(0)
        assert self.bench.get("expired") == want, f"cycle {self.bench.cycle}, limit {limit}"
        self.expiries += want


async def run(bench, model, limit, moves):
    """Drive one progress bit per cycle."""
    bench.set("limit", limit)
    for progress in moves:
        bench.set("progress", progress)
        await bench.settle()
        model.step(limit, progress)
        await bench.edge()


@cocotb.test()
async def exact_cycle(dut):
    """Not after limit - 1 still cycles, and after `limit` of them exactly LATENCY cycles later."""
    bench = await Lockstep(dut).begin(limit=0, progress=1)
    for limit in (1, 2, 3, 7, 40):
        model = Model(bench)
        await bench.reset(limit=limit, progress=1)
        await run(bench, model, limit, [True] * 4 + [False] * (limit - 1) + [True] * 4)
        assert model.expiries == 0
        await run(bench, model, limit, [False] * limit + [True] * 4)
        assert model.expiries == 1
        await run(bench, model, limit, [False] * (limit + 5) + [True] * 4)
        assert model.expiries == 1 + 6


@cocotb.test()
async def off(dut):
    """A limit of 0 never expires."""
    bench = await Lockstep(dut).begin(limit=0, progress=0)
    model = Model(bench)
    await run(bench, model, 0, [False] * 300)
    assert model.expiries == 0


@cocotb.test()
async def random_progress(dut):
    """Progress at random, or in every cycle, under every limit of a few cycles."""
    bench = await Lockstep(dut).begin(limit=0, progress=1)
    expiries = 0
    for limit in (1, 2, 3, 5, 9):
        still, model = Pauses(parameters()["stall"]), Model(bench)
        await bench.reset(limit=limit, progress=1)
        await run(bench, model, limit, [True] + [not still for _ in range(400)])
        expiries += model.expiries
    assert bool(expiries) == bool(parameters()["stall"])
