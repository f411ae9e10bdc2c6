"""The whole data movement block against a Python model of memory and chip."""

from __future__ import annotations

import random

import pytest

from dma_bench import Bench, Stalls, raw_posts, rows_of, transfer
from transfers import check_load, check_store, every_config, one, two_configs
from weft_hw.dma.dma import NO_INSTRUCTION
from weft_hw.isa import ErrorCode, Opcode, Space, space_words

#: Transfers of each kind in a random test.
COUNT = 16


def random_transfer(rng, config, opcode, arena, region, posts=()):
    """A transfer whose chip range lies in the byte range `region`, and arena range in `arena`."""
    space = Space.SCRATCHPAD if opcode is Opcode.STORE else rng.choice(list(Space))
    if space is not Space.SCRATCHPAD:
        region = range(4 * space_words(space, config))
    beat = config.beat_bytes
    size = 16 * rng.choice([1, 2, 3, 4, 5, 8, 16, rng.randint(1, 40)])
    size = min(size, (len(region) // 4) & -16)
    rows = rng.randint(1, min(9, len(region) // (2 * size)))
    contiguous = rng.random() < 0.3
    chip_pitch = size if contiguous else size + beat * rng.randint(0, 3)
    pitch = size if contiguous else size + 16 * rng.choice([0, 1, 3, 8, 23])
    chip_room = len(region) - ((rows - 1) * chip_pitch + size)
    arena_room = len(arena) - ((rows - 1) * pitch + size)
    if chip_room < 0 or arena_room < 0:
        return random_transfer(rng, config, opcode, arena, region, posts)
    chip = region.start + beat * rng.randint(0, chip_room // beat)
    if rng.random() < 0.5:
        chip -= (chip - region.start) % config.dma_bytes
    fill = {}
    if opcode is Opcode.LOAD and rng.random() < 0.25:
        fill = {"fill": 1, "fill_value": rng.randrange(-128, 128)}
    return transfer(
        opcode,
        posts=posts,
        space=int(space),
        dram_offset=arena.start + 16 * rng.randint(0, arena_room // 16),
        dram_pitch=pitch,
        rows=rows,
        bytes=size,
        chip_address=chip // 4,
        chip_pitch=chip_pitch // 4,
        **fill,
    )


@every_config
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random(config, stall):
    """Loads and stores at once; data checked when each retires, nothing else touched."""
    for seed in range(1 if stall else 2):
        rng = random.Random(f"{config.name} {stall} {seed}")
        bench = Bench(config, seed=seed, stalls=Stalls.all(stall), latency=rng.randint(2, 40))
        half, chip = bench.arena_bytes // 2, config.scratchpad_bytes // 2
        chip = min(chip, 8192)
        # Every store has its own window of the arena: those in flight may write in any order.
        window = half // COUNT
        ranges = {
            Opcode.LOAD: lambda i, half=half, chip=chip: (range(half), range(chip)),
            Opcode.STORE: lambda i, half=half, chip=chip, window=window: (
                range(half + i * window, half + (i + 1) * window),
                range(chip, 2 * chip),
            ),
        }
        work = {
            op: [
                random_transfer(rng, config, op, *ranges[op](i), posts=(rng.randrange(16),))
                for i in range(COUNT)
            ]
            for op in ranges
        }
        before = {s: bytes(v) for s, v in bench.chip.items()}
        memory = bytes(bench.memory)
        left = {"load": list(work[Opcode.LOAD]), "store": list(work[Opcode.STORE])}

        def hook(unit, left=left, bench=bench):
            instruction = left[unit].pop(0)
            assert bench.retired[-1][1] == raw_posts(instruction)
            if unit == "store":
                check_store(bench, instruction)

        bench.retire_hook = hook

        def issue(op, bench=bench, work=work, left=left):
            async def testbench(ctx):
                for index, instruction in enumerate(work[op]):
                    await bench.start(ctx, instruction, index)
                await bench.until(ctx, lambda: not left[op.name.lower()])

            return testbench

        bench.run(issue(Opcode.LOAD), issue(Opcode.STORE))
        assert not bench.errors

        # Loads overlap on chip in any order: compare where one load alone wrote. What is written
        # is known by the place that it comes from, or, of a fill, by its value.
        writers: dict[tuple[int, int], int | bytes] = {}
        for instruction in work[Opcode.LOAD]:
            for source, target, size in rows_of(instruction):
                for i in range(0, size, 8):
                    key = (instruction["space"], target + i)
                    filled = bytes([instruction["fill_value"] & 0xFF]) * 8
                    known = filled if instruction["fill"] else source + i
                    writers[key] = -1 if key in writers else known
        for space in Space:
            for at in range(0, len(before[space]), 8):
                source = writers.get((int(space), at))
                got = bench.chip[space][at : at + 8]
                if source is None:
                    assert got == before[space][at : at + 8]
                elif source != -1:
                    filled = isinstance(source, bytes)
                    assert got == (source if filled else bench.arena(source, source + 8))
        touched = bytearray(memory)
        for instruction in work[Opcode.STORE]:
            for target, _, size in rows_of(instruction):
                touched[256 + target : 256 + target + size] = bench.arena(target, target + size)
        assert bench.memory == touched
        reads = sum(i["rows"] * i["bytes"] for i in work[Opcode.LOAD] if not i["fill"])
        assert any(i["fill"] for i in work[Opcode.LOAD])
        writes = sum(i["rows"] * i["bytes"] for i in work[Opcode.STORE])
        assert bench.beats_read == reads // config.beat_bytes
        assert bench.beats_written == writes // config.beat_bytes
        assert bench.zero_strobes == 0


def expect_errors(bench, cases):
    """Run each of `cases`: (instructions, code, index of the culprit); abort in between.

    Of each case exactly one error comes, and nothing from the culprit on retires.
    """

    async def testbench(ctx):
        for instructions, code, culprit in cases:
            bench.errors.clear()
            bench.retired.clear()
            for i, instruction in enumerate(instructions):
                await bench.start(ctx, instruction, 100 + i)
            await bench.until(ctx, lambda: bench.errors)
            await ctx.tick().repeat(60)
            assert bench.errors == [(code, 100 + culprit)], instructions
            assert len(bench.retired) <= culprit
            ctx.set(bench.dma.abort, 1)
            await ctx.tick()
            ctx.set(bench.dma.abort, 0)
            await ctx.tick().until(bench.dma.bus_idle)

    bench.run(testbench)


@two_configs
def test_arena(config):
    """What leaves the arena, with every carry, is refused; the model refuses to see it."""
    cases = []
    for opcode in (Opcode.LOAD, Opcode.STORE):
        for fields in (
            {"dram_offset": (1 << 16) - 48},
            {"dram_offset": 1 << 16},
            {"dram_offset": 0xFFFF_FFF0},
            {"dram_offset": 0xFFFF_FFC0},
            {"rows": 3, "dram_pitch": 1 << 15},
            {"rows": 4000, "dram_pitch": 0xFFFF_FF00},
            {"rows": 3, "dram_pitch": 0xC000_0000},
        ):
            bad = one(opcode, 64, **{"dram_pitch": 64, **fields})
            cases.append(([one(opcode, 64), bad], ErrorCode.ARENA, 1))
    expect_errors(Bench(config, seed=7), cases)


@two_configs
def test_address(config):
    """What leaves an on-chip memory is refused, and its last bytes are not."""
    cases = []
    for opcode, spaces in ((Opcode.LOAD, Space), (Opcode.STORE, [Space.SCRATCHPAD])):
        for space in spaces:
            end = 4 * space_words(space, config)
            good = one(opcode, 64, space=space, chip=end - 64)
            bad = one(opcode, 64, space=space, chip=end - 48)
            far = one(opcode, 16, rows=9, space=space, dram_pitch=0, chip_pitch=0x7FFFC)
            cases.append(([good, good, bad], ErrorCode.ADDRESS, 2))
            cases.append(([far], ErrorCode.ADDRESS, 0))
    # rows * bytes beyond 4 GiB does not wrap.
    huge = one(Opcode.LOAD, 0x10_0000, rows=0x1000, chip_pitch=0x4_0000)
    cases.append(([huge], ErrorCode.ARENA if config.scratchpad_bytes > 1 << 16 else 4, 0))
    expect_errors(Bench(config, seed=8), cases)


@two_configs
def test_bus_errors(config):
    """SLVERR names the instruction that owns the beat."""
    bench = Bench(config, seed=10)
    bench.bad_read = bench.bad_write = range(4096 + 1008, 4096 + 1024)
    cases = []
    for opcode, code in ((Opcode.LOAD, ErrorCode.BUS_READ), (Opcode.STORE, ErrorCode.BUS_WRITE)):
        work = [one(opcode, 1024, offset=1024 * i, chip=1024 * i) for i in range(8)]
        cases.append((work, code, 4))
    expect_errors(bench, cases)


@two_configs
def test_fetch(config):
    """Fetch passes loads, returns its beats in order, and is bounded by the arena."""
    bench = Bench(config, seed=11)
    dma, beats = bench.dma, min(16, 64 // config.beat_bytes)
    size = beats * config.beat_bytes

    async def fetch(ctx, offset):
        ctx.set(dma.fetch.offset, offset)
        ctx.set(dma.fetch.beats, beats)
        ctx.set(dma.fetch.valid, 1)
        await ctx.tick().until(dma.fetch.ready)
        ctx.set(dma.fetch.valid, 0)

    async def fetcher(ctx):
        for i in range(32):
            await fetch(ctx, i * size)
        await bench.until(ctx, lambda: len(bench.fetched) == 32 * beats)
        assert not bench.errors
        await fetch(ctx, bench.arena_bytes - size + 16)
        await bench.until(ctx, lambda: bench.errors)
        assert bench.errors == [(ErrorCode.ARENA, NO_INSTRUCTION)]

    async def loader(ctx):
        await bench.start(ctx, one(Opcode.LOAD, 4096), 0)
        await bench.until(ctx, lambda: bench.retired)

    bench.run(fetcher, loader)
    assert b"".join(bench.fetched) == bench.arena(0, 32 * size)
    assert bench.beats_fetched == 32 * beats
    assert bench.beats_read == 4096 // config.beat_bytes


@two_configs
def test_fetch_bus_error(config):
    """SLVERR on a fetched beat is reported, whichever port owns the stripe."""
    for stripe in range(config.axi_ports):
        bench = Bench(config, seed=12)
        dma, offset = bench.dma, stripe * 16 * config.beat_bytes
        bench.bad_read = range(offset, offset + config.beat_bytes)

        async def fetcher(ctx, bench=bench, dma=dma, offset=offset):
            ctx.set(dma.fetch.offset, offset)
            ctx.set(dma.fetch.beats, 4)
            ctx.set(dma.fetch.valid, 1)
            await ctx.tick().until(dma.fetch.ready)
            ctx.set(dma.fetch.valid, 0)
            await bench.until(ctx, lambda: bench.errors, limit=300)
            assert bench.errors == [(ErrorCode.BUS_READ, NO_INSTRUCTION)]

        bench.run(fetcher)


@every_config
@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_abort_and_reuse(config, stall):
    """Abort at any time: the bus comes to rest, and the next run is as if nothing had been."""
    bench = Bench(config, seed=12, stalls=Stalls.all(stall), latency=30)
    rng = random.Random(13)
    quarter = bench.arena_bytes // 4

    async def testbench(ctx):
        for turn in range(8):
            done = len(bench.retired)
            aborted = rng.randrange(quarter // 2) & ~15
            pair = [
                one(Opcode.LOAD, 2048, offset=aborted),
                one(Opcode.STORE, 2048, offset=quarter + aborted, chip=4096),
            ]
            for i, instruction in enumerate(pair):
                await bench.start(ctx, instruction, i)
            await ctx.tick().repeat(rng.randrange(1, 120))
            ctx.set(bench.dma.abort, 1)
            await ctx.tick().repeat(rng.choice([1, 5, 60]))
            ctx.set(bench.dma.abort, 0)
            await ctx.tick()
            strobes = bench.strobes
            if turn % 2:
                limit = 2000
                while not ctx.get(bench.dma.bus_idle):
                    await ctx.tick()
                    limit -= 1
                    assert limit
                assert bench.strobes <= strobes + config.axi_ports
            assert not ctx.get(bench.dma.load_busy) and not ctx.get(bench.dma.store_busy)
            done = len(bench.retired)
            offset = rng.randrange(quarter // 2) & ~15
            good = [
                one(Opcode.LOAD, 1024, offset=offset, chip=1024),
                one(Opcode.STORE, 1024, offset=2 * quarter + offset, chip=4096),
            ]
            for i, instruction in enumerate(good):
                await bench.start(ctx, instruction, i)
            await bench.until(ctx, lambda done=done: len(bench.retired) == done + 2)
            check_load(bench, good[0])
            check_store(bench, good[1])
            assert not bench.errors

    before = bench.arena(3 * quarter, 4 * quarter)
    bench.run(testbench)
    assert bench.arena(3 * quarter, 4 * quarter) == before
    assert not any(p.reads or p.writes or p.answers for p in bench.ports)
