"""Instruction fetch: the words in order, requests within their rules, full rate."""

import random

import pytest

from control_bench import sample_when, simulate
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.control.fetch import BUFFER_BURSTS, Fetch
from weft_hw.isa import ErrorCode


class Memory:
    """The DMA's side of the fetch port."""

    def __init__(self, dut, config, image, latency, stall, rng):
        self.dut, self.config, self.image = dut, config, image
        self.latency, self.stall, self.rng = latency, stall, rng
        self.cycle, self.beats, self.requests = 0, [], []
        self.most_expected = 0

    async def serve(self, ctx):
        dut, width = self.dut, self.config.beat_bytes
        while True:
            valid = bool(self.beats) and self.beats[0][0] <= self.cycle
            valid = valid and self.rng.random() >= self.stall
            ctx.set(dut.fetch_data_valid, valid)
            if valid:
                ctx.set(dut.fetch_data, self.beats.pop(0)[1])
            ready = self.rng.random() >= self.stall
            ctx.set(dut.fetch_ready, ready)
            _, _, asked, offset, beats = await ctx.tick().sample(
                dut.fetch_valid, dut.fetch_offset, dut.fetch_beats
            )
            self.cycle += 1
            if asked and ready:
                self.requests.append((offset, beats))
                for at in range(offset, offset + beats * width, width):
                    value = int.from_bytes(self.image[at : at + width], "little")
                    self.beats.append((self.cycle + self.latency, value))
                self.most_expected = max(self.most_expected, len(self.beats))


def run(config, length, *, offset=0, arena=None, latency=50, stall=0.0, slow=0.0, seed=0):
    """Fetch a random image; returns items, their cycles and the memory."""
    rng = random.Random(seed)
    image = rng.randbytes(offset + 64 * length + 256)
    dut = Fetch(config)
    memory = Memory(dut, config, image, latency, stall, rng)
    items, cycles = [], []

    async def main(ctx):
        while not items or items[-1][2] == ErrorCode.NONE:
            while rng.random() < slow:
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            (item,) = await sample_when(ctx, dut.o.valid, dut.o.payload)
            ctx.set(dut.o.ready, 0)
            items.append((item.word, item.index, item.code))
            cycles.append(memory.cycle)
        assert ctx.get(dut.idle)

    async def setup(ctx):
        ctx.set(dut.program_offset, offset)
        ctx.set(dut.program_length, length)
        ctx.set(dut.arena_bytes, len(image) if arena is None else arena)

    simulate(dut, setup, main, background=[memory.serve])
    *instructions, end = items
    for i, (word, index, _) in enumerate(instructions):
        at = offset + 64 * i
        assert (word, index) == (int.from_bytes(image[at : at + 64], "little"), i)
    return end, cycles, memory


@pytest.mark.parametrize("name", ["tiny", "kv260"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 8, 33])
def test_lengths(name, length):
    """Exactly the program is read, in bursts of at most one stripe."""
    config = PRESETS[name]
    end, _, memory = run(config, length, offset=512)
    assert end[1:] == (length, ErrorCode.PROGRAM_END)
    assert sum(b for _, b in memory.requests) * config.beat_bytes == 64 * length
    position = 512
    for offset, beats in memory.requests:
        assert offset == position
        assert 1 <= beats <= BURST_BEATS
        position += beats * config.beat_bytes
        assert offset // config.stripe_bytes == (position - 1) // config.stripe_bytes


@pytest.mark.parametrize("name", ["tiny", "kv260"])
@pytest.mark.parametrize("arena", [0, 63, 64, 127, 128, 192, 255, 256, 320, 640])
def test_arena(name, arena):
    config = PRESETS[name]
    end, _, memory = run(config, 10, arena=arena)
    inside = arena // 64
    code = ErrorCode.PROGRAM_END if inside >= 10 else ErrorCode.ARENA
    assert end[1:] == (min(inside, 10), code)
    assert all(o + b * config.beat_bytes <= arena for o, b in memory.requests)


def test_arena_far_above():
    """Offsets that leave 32 bits do not wrap into the arena."""
    config = PRESETS["tiny"]
    dut = Fetch(config)

    async def main(ctx):
        ctx.set(dut.program_offset, 0xFFFF_FF00)
        ctx.set(dut.program_length, 0xFF_FFFF)
        ctx.set(dut.arena_bytes, 0xFFFF_FFFF)
        ctx.set(dut.fetch_ready, 1)
        asked = []
        for _ in range(20):
            _, _, valid, offset, beats = await ctx.tick().sample(
                dut.fetch_valid, dut.fetch_offset, dut.fetch_beats
            )
            if valid:
                asked.append((offset, beats))
        assert asked == [(0xFFFF_FF00, 16), (0xFFFF_FF80, 8)]

    simulate(dut, main)


@pytest.mark.parametrize("name", ["tiny", "kv260"])
def test_random(name):
    for _ in range(6):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        config = PRESETS[name]
        _, _, memory = run(
            config,
            rng.randrange(1, 60),
            latency=rng.choice([0, 3, 50]),
            stall=rng.choice([0, 0.3, 0.8]),
            slow=rng.choice([0, 0.5, 0.95]),
            seed=seed,
        )
        assert memory.most_expected <= BUFFER_BURSTS * BURST_BEATS


@pytest.mark.parametrize("name", ["tiny", "kv260"])
def test_full_rate(name):
    """First word 2 cycles after its last beat; then one beat per cycle without a gap."""
    config = PRESETS[name]
    beats = 64 // config.beat_bytes
    _, cycles, memory = run(config, 40, latency=10)
    gaps = [b - a for a, b in zip(cycles[:-2], cycles[1:-1])]
    assert gaps == [beats] * len(gaps)
    # The request is accepted in its first cycle; data come 10 cycles later.
    assert cycles[0] == Fetch.REQUEST_LATENCY + 1 + 10 + beats + Fetch.LATENCY - 1
    assert memory.most_expected > BURST_BEATS, "several bursts are outstanding"


def test_stop():
    """After `stop` no new burst is asked for; idle once what was asked for has come."""
    dut = Fetch(PRESETS["tiny"])

    async def main(ctx):
        ctx.set(dut.program_length, 100)
        ctx.set(dut.arena_bytes, 1 << 20)
        await ctx.tick().until(dut.fetch_valid)
        ctx.set(dut.stop, 1)
        for _ in range(5):
            await ctx.tick()
            assert ctx.get(dut.fetch_valid), "a request is held until it is taken"
            assert not ctx.get(dut.idle)
        ctx.set(dut.fetch_ready, 1)
        await ctx.tick()
        for i in range(16):
            assert not ctx.get(dut.fetch_valid)
            assert not ctx.get(dut.idle)
            ctx.set(dut.fetch_data_valid, 1)
            ctx.set(dut.fetch_data, i)
            await ctx.tick()
        ctx.set(dut.fetch_data_valid, 0)
        for _ in range(20):
            assert ctx.get(dut.idle)
            await ctx.tick()

    simulate(dut, main)
