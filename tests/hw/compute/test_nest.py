"""Loop nests and address generators against itertools."""

from __future__ import annotations

import itertools
import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from weft_hw.compute.nest import AddressGenerator, LoopNest


@pytest.mark.parametrize("seed", range(6))
def test_nest(seed):
    rng = random.Random(seed)
    m = Module()
    m.submodules.nest = nest = LoopNest()
    m.submodules.address = address = AddressGenerator(20, 20, tuple(range(6)))
    m.d.comb += [address.level.eq(nest.level), address.step.eq(nest.step),
                 address.load.eq(nest.load), nest.begin.eq(nest.load)]

    async def bench(ctx):
        for _ in range(4):
            counts = [rng.choice([1, 1, 2, 3, rng.randint(1, 5)]) for _ in range(6)]
            strides = [rng.randint(-1000, 1000) for _ in range(6)]
            jumps = [
                s - sum((counts[j] - 1) * strides[j] for j in range(i))
                for i, s in enumerate(strides)
            ]
            base = rng.randint(0, 2**20 - 1)
            for i in range(6):
                ctx.set(nest.counts[i], counts[i])
                ctx.set(address.jumps[i], jumps[i])
            ctx.set(address.base, base)
            ctx.set(nest.load, 1)
            await ctx.tick()
            ctx.set(nest.load, 0)
            for i in range(6):  # counts are sampled by load
                ctx.set(nest.counts[i], 0)
            iterations = list(itertools.product(*(range(c) for c in reversed(counts))))
            for n, index in enumerate(iterations):
                i = index[::-1]
                while rng.random() < 0.2:
                    await ctx.tick()
                want = (base + sum(x * s for x, s in zip(i, strides, strict=True))) % 2**20
                assert ctx.get(address.address) == want
                assert ctx.get(nest.start) == sum((i[j] == 0) << j for j in range(6))
                assert ctx.get(nest.end) == sum((i[j] == counts[j] - 1) << j for j in range(6))
                assert ctx.get(nest.last) == (n == len(iterations) - 1)
                if n < len(iterations) - 1:
                    ctx.set(nest.step, 1)
                    await ctx.tick()
                    ctx.set(nest.step, 0)

    sim = Simulator(m)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
