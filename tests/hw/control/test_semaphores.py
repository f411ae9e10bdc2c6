"""Semaphores against a naive model."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from control_bench import simulate
from weft_hw.control.semaphores import DemandLayout, Semaphores, demand
from weft_hw.isa import SEMAPHORE_MAX, Instruction, Opcode, encode


class DemandOf(wiring.Component):
    """The function :func:`demand`, registered."""

    def __init__(self):
        super().__init__({"word": In(512), "demand": Out(DemandLayout)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.demand.eq(demand(self.word))
        return m


@pytest.mark.parametrize("waits", [(), (0,), (15, 3), (7, 7, 7), (2, 9, 2)])
def test_demand(waits):
    dut = DemandOf()

    async def main(ctx):
        raw = encode(Instruction(Opcode.MATMUL, waits, (1, 2)))
        ctx.set(dut.word, int.from_bytes(raw, "little"))
        await ctx.tick()
        counts = ctx.get(dut.demand)
        assert [counts[s] for s in range(16)] == [waits.count(s) for s in range(16)]

    simulate(dut, main)


def raw_posts(posts) -> int:
    """The post fields of a header."""
    return sum((1 | s << 1) << 5 * i for i, s in enumerate(posts))


@pytest.mark.parametrize("busy", [0.2, 0.9])
def test_random(busy):
    """Grants, counts and overflow of every cycle; few semaphores, so that they meet."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = Semaphores()

    async def main(ctx):
        counts = [0] * 16
        requests = [None] * 3
        # What a cycle takes and posts counts from the cycle after the next on.
        granted, taken, posted = False, [], [[], [], []]
        overflows = [None, None]
        seen = set()
        for _ in range(1500):
            posts = [
                rng.choices(range(3), k=rng.randrange(3)) if rng.random() < busy else []
                for _ in range(3)
            ]
            for u in range(3):
                if requests[u] is None and rng.random() < busy:
                    requests[u] = rng.choices(range(4), k=rng.randrange(4))
                wanted = requests[u] or []
                ctx.set(dut.request[u], requests[u] is not None)
                ctx.set(dut.demand[u], [wanted.count(s) for s in range(16)])
                ctx.set(dut.retire[u].valid, bool(posts[u]))
                ctx.set(dut.retire[u].posts, raw_posts(posts[u]))
            _, _, g0, g1, g2, w0, w1, w2, over, over_unit = await ctx.tick().sample(
                *dut.grant, *dut.waiting, dut.overflow, dut.overflow_unit
            )
            enough = [
                r is not None and all(counts[s] >= r.count(s) for s in range(16)) for r in requests
            ]
            first = enough.index(True) if True in enough and not granted else None
            assert [g0, g1, g2] == [u == first for u in range(3)]
            assert [w0, w1, w2] == [r is not None and not e for r, e in zip(requests, enough)]
            overflowed = overflows.pop(0)
            assert over == (overflowed is not None)
            if over:
                assert over_unit == overflowed
            for s in taken:
                counts[s] -= 1
            for s in (s for unit in posted for s in unit):
                counts[s] += 1
            full = {s for s in range(16) if counts[s] > SEMAPHORE_MAX}
            overflows.append(next((u for u in range(3) if full & {*posted[u]}), None))
            counts = [min(c, SEMAPHORE_MAX) for c in counts]
            granted, posted = first is not None, posts
            taken = requests[first] if granted else []
            if granted:
                requests[first] = None
            seen |= {("over", bool(full)), ("first", first)}
            # Semaphore 3 has no posts: whoever waits for it would wait for ever.
            requests = [None if r and 3 in r and rng.random() < 0.3 else r for r in requests]
        assert {("first", u) for u in (None, 0, 1, 2)} <= seen

    simulate(dut, main)


def test_overflow_is_reported_and_kept_at_the_maximum():
    dut = Semaphores()

    async def main(ctx):
        ctx.set(dut.retire[2].valid, 1)
        ctx.set(dut.retire[2].posts, raw_posts([5]))
        await ctx.tick().repeat(SEMAPHORE_MAX + 1)
        ctx.set(dut.retire[2].valid, 0)
        for _ in range(2):
            assert not ctx.get(dut.overflow)
            await ctx.tick()
        assert ctx.get(dut.overflow)
        assert ctx.get(dut.overflow_unit) == 2
        await ctx.tick()
        assert not ctx.get(dut.overflow)
        ctx.set(dut.demand[0], [3 * (s == 5) for s in range(16)])
        ctx.set(dut.request[0], 1)
        for _ in range(SEMAPHORE_MAX // 3):
            assert ctx.get(dut.grant[0])
            await ctx.tick()
            assert not ctx.get(dut.grant[0]), "one grant per 2 cycles"
            await ctx.tick()
        assert ctx.get(dut.waiting[0])

    simulate(dut, main)
