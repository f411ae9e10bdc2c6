"""The dispatcher and the watchdog."""

import random

from control_bench import sample_when, simulate, transfer_in
from weft_hw.control.dispatch import Dispatch
from weft_hw.control.watchdog import Watchdog
from weft_hw.isa import ErrorCode, Unit


def test_dispatch():
    """Items reach their units in order; END completes only when everything is retired."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = Dispatch()
    units = [rng.randrange(1, 4) for _ in range(200)]
    waiting = [[], [], []]
    retired = 0
    finished = []

    async def produce(ctx):
        for i, unit in enumerate(units):
            item = {"word": i * 7, "index": i, "code": 0, "unit": unit}
            await transfer_in(ctx, dut.i, item, lambda: rng.random() < 0.2)
            assert ctx.get(dut.next_index) == i + 1
        ctx.set(dut.i.payload, {"word": 1, "index": 200, "code": 0, "unit": Unit.CONTROL})
        ctx.set(dut.i.valid, 1)
        assert ctx.get(dut.ending)
        await ctx.tick().until(dut.done)
        assert retired == 200
        assert ctx.get(dut.fetch_idle)
        finished.append(True)

    def take(u):
        async def run(ctx):
            for i in [i for i, unit in enumerate(units) if unit == u + 1]:
                while rng.random() < 0.5:
                    await ctx.tick()
                ctx.set(dut.o[u].ready, 1)
                (item,) = await sample_when(ctx, dut.o[u].valid, dut.o[u].payload)
                ctx.set(dut.o[u].ready, 0)
                assert (item.word, item.index) == (i * 7, i)
                waiting[u].append(i)

        return run

    async def retire(ctx):
        nonlocal retired
        idle = False
        while not finished:
            for u in range(3):
                pulse = bool(waiting[u]) and rng.random() < 0.4
                ctx.set(dut.retired[u], pulse)
                if pulse:
                    waiting[u].pop()
                    retired += 1
            # At the end of a program fetch has nothing more to ask for, and stays idle.
            idle = rng.random() < 0.1 or (idle and bool(ctx.get(dut.ending)))
            ctx.set(dut.fetch_idle, idle)
            await ctx.tick()

    simulate(dut, produce, take(0), take(1), take(2), retire)
    assert finished


def test_done_follows_the_last_retirement():
    dut = Dispatch()

    async def main(ctx):
        ctx.set(dut.fetch_idle, 1)
        ctx.set(dut.o[0].ready, 1)
        await transfer_in(ctx, dut.i, {"word": 0, "index": 0, "code": 0, "unit": Unit.LOAD})
        ctx.set(dut.i.payload, {"word": 1, "index": 1, "code": 0, "unit": Unit.CONTROL})
        ctx.set(dut.i.valid, 1)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.done)
        ctx.set(dut.retired[0], 1)
        for cycle in range(Dispatch.DONE_LATENCY):
            assert not ctx.get(dut.done), cycle
            await ctx.tick()
            ctx.set(dut.retired[0], 0)
        assert ctx.get(dut.done)

    simulate(dut, main)


def test_error_stays():
    dut = Dispatch()

    async def main(ctx):
        for u in range(3):
            ctx.set(dut.o[u].ready, 1)
        item = {"word": 2, "index": 5, "code": ErrorCode.BAD_FIELD, "unit": Unit.LOAD}
        ctx.set(dut.i.payload, item)
        ctx.set(dut.i.valid, 1)
        for _ in range(3):
            assert ctx.get(dut.error.valid)
            assert ctx.get(dut.error.code) == ErrorCode.BAD_FIELD
            assert ctx.get(dut.error.index) == 5
            assert not ctx.get(dut.i.ready)
            assert not any(ctx.get(dut.o[u].valid) for u in range(3))
            await ctx.tick()

    simulate(dut, main)


def test_watchdog():
    """Expires after exactly the limit, restarts with progress, and 0 switches it off."""
    dut = Watchdog()

    async def expires_after(ctx, limit, most):
        ctx.set(dut.limit, limit)
        ctx.set(dut.progress, 1)
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.expired)
        ctx.set(dut.progress, 0)
        for cycle in range(most):
            if ctx.get(dut.expired):
                return cycle
            await ctx.tick()
        return None

    async def main(ctx):
        for limit in (1, 2, 7, 40):
            assert await expires_after(ctx, limit, 100) == limit + Watchdog.LATENCY - 1
        assert await expires_after(ctx, 0, 100) is None
        for _ in range(10):
            assert await expires_after(ctx, 10, 9) is None

    simulate(dut, main)
