"""The unit queue: order, waits and pace."""

import random

import pytest
from amaranth.hdl import Module

from control_bench import sample_when, simulate, transfer_in
from weft_hw.control.queue import UnitQueue
from weft_hw.isa import Instruction, Opcode, encode


def word(waits=()) -> int:
    return int.from_bytes(encode(Instruction(Opcode.LOAD, waits)), "little")


@pytest.mark.parametrize("depth", [2, 4, 16])
def test_random(depth):
    """Everything comes out in order, after exactly one grant each."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = UnitQueue(depth)
    waits = [tuple(rng.sample(range(16), rng.randrange(4))) for _ in range(200)]
    granted = []

    async def produce(ctx):
        for i, w in enumerate(waits):
            item = {"word": word(w), "index": i}
            await transfer_in(ctx, dut.i, item, lambda: rng.random() < 0.3)

    async def grant(ctx):
        for w in waits:
            (demand,) = await sample_when(ctx, dut.request, dut.demand)
            assert [demand[s] for s in range(16)] == [int(s in w) for s in range(16)]
            while rng.random() < 0.3:
                await ctx.tick()
            ctx.set(dut.grant, 1)
            await ctx.tick()
            ctx.set(dut.grant, 0)
            granted.append(w)

    async def consume(ctx):
        for i, w in enumerate(waits):
            while rng.random() < 0.3:
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            (item,) = await sample_when(ctx, dut.o.valid, dut.o.payload)
            ctx.set(dut.o.ready, 0)
            assert (item.word, item.index) == (word(w), i)
            assert len(granted) == i + 1

    simulate(dut, produce, grant, consume)


def test_pace():
    """3 cycles from an empty queue to the unit; one instruction per 3 cycles."""
    dut = UnitQueue(4)
    m = Module()
    m.submodules.dut = dut
    m.d.comb += dut.grant.eq(dut.request)
    started = []

    async def main(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        index = 0
        for cycle in range(40):
            ctx.set(dut.i.payload, {"word": word(), "index": index})
            _, _, ready, valid, item = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, dut.o.payload
            )
            index += ready
            if valid:
                assert item.index == len(started)
                started.append(cycle)

    simulate(m, main)
    assert started == list(range(3, 40, 3))


def test_payload_is_held():
    dut = UnitQueue(2)

    async def main(ctx):
        ctx.set(dut.grant, 1)
        for i in range(2):
            await transfer_in(ctx, dut.i, {"word": word((i,)), "index": i})
        await ctx.tick().until(dut.o.valid)
        ctx.set(dut.i.payload, {"word": word((9,)), "index": 9})
        ctx.set(dut.i.valid, 1)
        for _ in range(10):
            await ctx.tick()
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.payload.index) == 0
            assert not ctx.get(dut.i.ready)

    simulate(dut, main)
