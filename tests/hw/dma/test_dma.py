"""The whole data movement block against a Python model of memory and chip."""

from __future__ import annotations

import random

import pytest
from .dma_bench import Bench, Stalls, raw_posts, rows_of, transfer

from weft_hw.config import PRESETS
from weft_hw.dma.dma import NO_INSTRUCTION
from weft_hw.isa import ErrorCode, Opcode, Space, space_words

CONFIGS = [PRESETS[n] for n in ("pynq-z2", "kv260", "tiny", "tiny-wide")]
#: Transfers of each kind in a random test.
COUNT = 16
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)


def random_transfer(rng, config, opcode, arena, region, posts=()):
    """A transfer whose chip range lies in the byte range `region`, and arena range in `arena`."""
    space = Space.SCRATCHPAD if opcode is Opcode.STORE else rng.choice(list(Space))
    if space is not Space.SCRATCHPAD:
        region = range(0, 4 * space_words(space, config))
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
    )


def check_load(bench, instruction):
    for source, target, size in rows_of(instruction):
        got = bench.chip[Space(instruction["space"])][target : target + size]
        assert got == bench.arena(source, source + size), instruction


def check_store(bench, instruction):
    for target, source, size in rows_of(instruction):
        want = bench.chip[Space.SCRATCHPAD][source : source + size]
        assert bench.arena(target, target + size) == want, instruction


@every_config
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random(config, stall):
    """Loads and stores at once; data checked when each retires, nothing else touched."""
    for seed in range(2):
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
        outstanding = []

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
        assert not outstanding and not bench.errors

        # Loads overlap on chip in any order: compare where one load alone wrote.
        writers: dict[tuple[int, int], int] = {}
        for n, instruction in enumerate(work[Opcode.LOAD]):
            for source, target, size in rows_of(instruction):
                for i in range(0, size, 8):
                    key = (instruction["space"], target + i)
                    writers[key] = -1 if key in writers else source + i
        for space in Space:
            for at in range(0, len(before[space]), 8):
                source = writers.get((int(space), at))
                got = bench.chip[space][at : at + 8]
                if source is None:
                    assert got == before[space][at : at + 8]
                elif source >= 0:
                    assert got == bench.arena(source, source + 8)
        touched = bytearray(memory)
        for instruction in work[Opcode.STORE]:
            for target, _, size in rows_of(instruction):
                touched[256 + target : 256 + target + size] = bench.arena(target, target + size)
        assert bench.memory == touched
        reads = sum(i["rows"] * i["bytes"] for i in work[Opcode.LOAD])
        writes = sum(i["rows"] * i["bytes"] for i in work[Opcode.STORE])
        assert bench.beats_read == reads // config.beat_bytes
        assert bench.beats_written == writes // config.beat_bytes
        assert bench.zero_strobes == 0
