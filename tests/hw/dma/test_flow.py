"""The small stream parts: order, pace, and a fair choice."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from weft_hw.dma.flow import Queue, RoundRobin, Skid


@pytest.mark.parametrize(
    "make", [lambda: Queue(8, depth=4), lambda: Skid(8)], ids=["queue", "skid"]
)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_stream_parts(make, stall):
    """Order is kept, and without stalls one entry passes each cycle."""
    dut, rng, sent, got, cycles = make(), random.Random(5), list(range(200)), [], 0

    async def put(ctx):
        for value in sent:
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(dut.i.payload, value)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def take(ctx):
        nonlocal cycles
        while len(got) < len(sent):
            ready = int(rng.random() >= stall)
            ctx.set(dut.o.ready, ready)
            _, _, valid, value = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            cycles += 1
            if valid and ready:
                got.append(value)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(put)
    sim.add_testbench(take)
    sim.run()
    assert got == sent
    assert stall or cycles <= len(sent) + 3


@pytest.mark.parametrize("n", [1, 2, 4])
def test_round_robin(n):
    """One-hot among the requests, and nobody waits longer than n - 1 grants."""
    dut, rng, waits = RoundRobin(n), random.Random(n), [0] * n

    async def testbench(ctx):
        ctx.set(dut.accept, 1)
        for _ in range(300):
            requests = rng.randrange(1 << n)
            ctx.set(dut.requests, requests)
            grant = ctx.get(dut.grant)
            assert grant.bit_count() == (requests != 0) and grant & ~requests == 0
            for i in range(n):
                waits[i] = waits[i] + 1 if (requests & ~grant) >> i & 1 else 0
                assert waits[i] < n
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(testbench)
    sim.run()
