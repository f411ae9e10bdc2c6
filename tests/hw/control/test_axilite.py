"""The AXI4-Lite slave: order, stalls, pace, and no path from inputs to outputs."""

import random

import pytest
from amaranth.hdl import Module

from control_bench import sample_when, simulate
from weft_hw.control.axilite import AXI_LITE_PORTS, OKAY, SLVERR, AxiLite


def with_memory(dut: AxiLite) -> Module:
    """Registers below 64 read as three times their number; the rest answers SLVERR."""
    m = Module()
    m.submodules.dut = dut
    m.d.sync += [
        dut.read_data.eq(dut.read_word * 3),
        dut.read_error.eq(dut.read_word >= 64),
    ]
    m.d.comb += dut.write_error.eq(dut.write_word >= 64)
    return m


@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
def test_random(stall):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    writes = [
        (rng.randrange(128) * 4 + rng.randrange(4), rng.randrange(1 << 32), rng.randrange(16))
        for _ in range(60)
    ]
    reads = [rng.randrange(128) * 4 for _ in range(60)]
    dut = AxiLite()
    seen = []

    async def wait(ctx):
        while rng.random() < stall:
            await ctx.tick()

    async def send(ctx, channel, items):
        valid = getattr(dut, f"s_axil_{channel}valid")
        ready = getattr(dut, f"s_axil_{channel}ready")
        for item in items:
            await wait(ctx)
            for name, value in item.items():
                ctx.set(getattr(dut, f"s_axil_{channel}{name}"), value)
            ctx.set(valid, 1)
            await ctx.tick().until(ready)
            ctx.set(valid, 0)

    async def receive(ctx, channel, fields, count):
        valid = getattr(dut, f"s_axil_{channel}valid")
        ready = getattr(dut, f"s_axil_{channel}ready")
        found = []
        for _ in range(count):
            await wait(ctx)
            ctx.set(ready, 1)
            values = [getattr(dut, f"s_axil_{channel}{f}") for f in fields]
            found.append(tuple(await sample_when(ctx, valid, *values)))
            ctx.set(ready, 0)
        return found

    async def address(ctx):
        await send(ctx, "aw", [{"addr": a} for a, _, _ in writes])

    async def data(ctx):
        await send(ctx, "w", [{"data": d, "strb": s} for _, d, s in writes])

    async def responses(ctx):
        found = await receive(ctx, "b", ["resp"], len(writes))
        assert found == [(SLVERR if a >= 256 else OKAY,) for a, _, _ in writes]

    async def read_address(ctx):
        await send(ctx, "ar", [{"addr": a} for a in reads])

    async def read_data(ctx):
        found = await receive(ctx, "r", ["data", "resp"], len(reads))
        assert found == [(0, SLVERR) if a >= 256 else (a // 4 * 3, OKAY) for a in reads]

    async def observe(ctx):
        values = dut.write_word, dut.write_data, dut.write_strobe
        for _ in writes:
            seen.append(tuple(await sample_when(ctx, dut.write_enable, *values)))

    simulate(with_memory(dut), address, data, responses, read_address, read_data, observe)
    assert seen == [(a // 4, d, s) for a, d, s in writes]


def test_pace():
    """The first response after LATENCY cycles; then one write per 2 cycles, one read per 3."""
    dut = AxiLite()
    responses = {"b": [], "r": []}

    async def main(ctx):
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            ctx.set(getattr(dut, f"s_axil_{name}"), 1)
        for cycle in range(20):
            _, _, b, r = await ctx.tick().sample(dut.s_axil_bvalid, dut.s_axil_rvalid)
            responses["b"] += [cycle] * b
            responses["r"] += [cycle] * r

    simulate(with_memory(dut), main)
    assert responses["b"] == list(range(AxiLite.WRITE_LATENCY, 20, 2))
    assert responses["r"] == list(range(AxiLite.READ_LATENCY, 20, 3))


def test_outputs_do_not_follow_inputs():
    dut = AxiLite()
    inputs = [n for n in AXI_LITE_PORTS if dut.signature.members[n].flow.name == "In"]
    outputs = [n for n in AXI_LITE_PORTS if n not in inputs]
    rng = random.Random(3)

    async def main(ctx):
        for _ in range(200):
            await ctx.tick()
            found = []
            for _ in range(3):
                for name in inputs:
                    port = getattr(dut, name)
                    ctx.set(port, rng.getrandbits(len(port)))
                await ctx.delay(1e-10)
                found.append([ctx.get(getattr(dut, name)) for name in outputs])
            assert found[0] == found[1] == found[2]

    simulate(with_memory(dut), main)
