"""The walker against a naive splitter, the ledger's merging, and the small stream parts."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from dma_bench import raw_posts, transfer
from walks import naive, random_walk
from weft_hw.config import PRESETS
from weft_hw.dma.flow import Queue, RoundRobin, Skid
from weft_hw.dma.layouts import SLOTS
from weft_hw.dma.ledger import Ledger
from weft_hw.dma.walker import Walker
from weft_hw.isa import Opcode, encode

CONFIGS = [PRESETS[n] for n in ("pynq-z2", "kv260", "tiny")]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
NAMES = ("offset", "beats", "chip", "space", "tag", "last")


@every_config
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_walker(config, stall):
    """Every port, random transfers, up to the first that is refused."""
    for turn in range(4 * config.axi_ports):
        port = turn % config.axi_ports
        seed = 100 * turn + int(10 * stall)
        print("seed", seed)
        rng = random.Random(seed)
        arena_bytes = 24 << 10
        walks, want = [], []
        while not want or isinstance(want[-1], list):
            walks.append(random_walk(rng, config))
            want += naive(config, port, walks[-1], arena_bytes)
        got, cycles = [], 0
        dut = Walker(config, port)

        async def feed(ctx, dut=dut, walks=walks, arena_bytes=arena_bytes):
            ctx.set(dut.arena_bytes, arena_bytes)
            for walk in walks:
                ctx.set(dut.transfer.payload, walk)
                ctx.set(dut.transfer.valid, 1)
                await ctx.tick().until(dut.transfer.ready)
            ctx.set(dut.transfer.valid, 0)

        async def drain(ctx, dut=dut, got=got, rng=rng, walks=walks):
            nonlocal cycles
            quiet = 0
            while quiet < 400:
                ready = int(rng.random() >= stall)
                ctx.set(dut.piece.ready, ready)
                _, _, valid, *values = await ctx.tick().sample(
                    dut.piece.valid, *(getattr(dut.piece.payload, n) for n in NAMES)
                )
                quiet += 1
                cycles += 1
                if valid and ready:
                    got.append(values)
                    quiet = 0
            assert ctx.get(dut.fault.valid)
            got.append({3: "ARENA", 4: "ADDRESS"}[ctx.get(dut.fault.code)])
            assert ctx.get(dut.fault.tag) == walks[-1]["tag"]

        sim = Simulator(dut)
        sim.add_clock(1e-8)
        sim.add_testbench(feed)
        sim.add_testbench(drain)
        sim.run()
        for piece in got:
            if piece[1] == 0:
                piece[0] = piece[2] = None
        assert got == want
        if not stall:
            rows = sum(w["rows"] for w in walks)
            assert cycles <= 400 + 2 * len(want) + 2 * rows + 3 * len(walks) + 8


@every_config
def test_ledger(config):
    """Rows that touch merge; slots run out; posts retire in order, when every port is done."""
    dut = Ledger(config, Opcode.LOAD)
    beat = config.beat_bytes
    cases = [
        # rows, bytes, dram_pitch, chip_pitch words -> rows, bytes
        ((1, 64, 0, 0), (1, 64)),
        ((5, 64, 64, 16), (1, 320)),
        ((5, 64, 80, 16), (5, 64)),
        ((5, 64, 64, 20), (5, 64)),
        ((65535, 0xFFFFF0, 0xFFFFF0, 0), (65535, 0xFFFFF0)),
        ((4096, 0x100000, 0x100000, 0x40000), (1, 1 << 32)),
        ((4096, 0x200000, 0x200000, 0x80000), (1, 1 << 32)),
        ((16, 48, 48, 12), (1, 768)),
    ]
    work = [
        transfer(
            Opcode.LOAD,
            posts=(i, 15 - i),
            space=2,
            dram_offset=4096 * i,
            chip_address=16 * i,
            rows=rows,
            bytes=size,
            dram_pitch=pitch,
            chip_pitch=chip_pitch,
        )
        for i, ((rows, size, pitch, chip_pitch), _) in enumerate(cases)
    ]

    async def testbench(ctx):
        ctx.set(dut.transfer.ready, 1)
        for i, instruction in enumerate(work):
            ctx.set(dut.start.payload.word, int.from_bytes(encode(instruction), "little"))
            ctx.set(dut.start.payload.index, 1000 + i)
            ctx.set(dut.start.valid, 1)
            await ctx.tick().until(dut.start.ready)
            ctx.set(dut.start.valid, 0)
            got = None
            while got is None:
                _, _, valid, payload = await ctx.tick().sample(
                    dut.transfer.valid, dut.transfer.payload
                )
                got = payload if valid else None
            rows, size = cases[i][1]
            assert (got.rows, got.length * beat) == (rows, size)
            assert (got.offset * beat, got.chip * beat) == (4096 * i, 64 * i)
            assert (got.space, got.tag) == (2, i)
        assert len(work) == SLOTS and not ctx.get(dut.start.ready)
        for i, instruction in enumerate(work):
            ctx.set(dut.tag, i)
            assert ctx.get(dut.index) == 1000 + i
            for port in range(config.axi_ports):
                assert not ctx.get(dut.retire.valid)
                ctx.set(dut.done, 1 << port)
                await ctx.tick()
            ctx.set(dut.done, 0)
            assert ctx.get(dut.retire.valid)
            assert ctx.get(dut.retire.posts) == raw_posts(instruction)
            await ctx.tick()
        assert not ctx.get(dut.busy) and ctx.get(dut.start.ready)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(testbench)
    sim.run()


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
