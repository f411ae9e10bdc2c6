"""Instruction fetch in front of a memory that answers after a while."""

from __future__ import annotations

import random

import cocotb

from runner import parameters
from streams import Lockstep, Pauses
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.control.fetch import BUFFER_BURSTS, Fetch, FetchedLayout
from weft_hw.isa import INSTRUCTION_BYTES, ErrorCode


class Memory:
    """The fetch port: takes requests, gives their beats in order after `latency` cycles or more."""

    def __init__(self, bench, config, stall):
        self.bench, self.width = bench, config.beat_bytes
        self.refuse, self.wait = Pauses(stall), Pauses(stall)
        self.image, self.latency = b"", 0
        self.forget()

    def forget(self):
        self.due: list[tuple[int, int]] = []
        self.requests: list[tuple[int, int, int]] = []
        self.beats: list[int] = []
        self.offered: list[int] = []
        self.held = None
        self.most = 0

    def drive(self):
        self.give = bool(self.due) and self.due[0][0] <= self.bench.cycle and not self.wait
        self.bench.set("port__data_valid", self.give)
        if self.give:
            self.bench.set("port__data", self.due.pop(0)[1])
            self.beats.append(self.bench.cycle)
        self.ready = not self.refuse
        self.bench.set("port__ready", self.ready)

    def sample(self):
        bench = self.bench
        idle = not (self.due or self.give) and not bench.get("port__valid")
        assert bench.get("idle") == idle, f"cycle {bench.cycle}"
        if not bench.get("port__valid"):
            assert self.held is None, "a request is withdrawn"
            return
        request = bench.get("port__offset"), bench.get("port__beats")
        if self.held is None:
            self.offered.append(bench.cycle)
        assert self.held in (None, request), "a request changes before it is taken"
        self.held = None if self.ready else request
        if self.ready:
            offset, beats = request
            self.requests.append((bench.cycle, offset, beats))
            for at in range(offset, offset + beats * self.width, self.width):
                value = int.from_bytes(self.image[at : at + self.width], "little")
                self.due.append((bench.cycle + self.latency, value))
            self.most = max(self.most, len(self.due))


class Program:
    """Fetches programs of random bytes, and checks what every fetch has to keep to."""

    def __init__(self, dut):
        self.config = PRESETS[parameters()["preset"]]
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        self.memory = self.bench.add(Memory(self.bench, self.config, self.stall))
        self.sink = self.bench.sink("o", FetchedLayout, self.stall)

    async def begin(self):
        await self.bench.begin(stop=0)
        return self

    async def load(self, length, offset=0, arena=None, latency=12):
        """Reset the block with a program of `length` instructions at `offset`."""
        memory = self.memory
        memory.image = random.randbytes(offset + INSTRUCTION_BYTES * length + 256)
        memory.latency = latency
        await self.bench.reset(
            program_offset=offset,
            program_length=length,
            arena_bytes=len(memory.image) if arena is None else arena,
            stop=0,
        )

    async def fetch(self, length, offset=0, arena=None, latency=12):
        """Fetch it; returns how many instructions came, and the code of what followed them."""
        await self.load(length, offset, arena, latency)
        memory, got = self.memory, self.sink.got
        await self.bench.until(lambda: got and got[-1][1].code != ErrorCode.NONE)
        end = got.pop()[1]
        position = offset
        for i, (_, item) in enumerate(got):
            word = memory.image[position : position + INSTRUCTION_BYTES]
            assert (item.word, item.index) == (int.from_bytes(word, "little"), i)
            position += INSTRUCTION_BYTES
        assert end.index == len(got)
        # Bursts follow each other, none leaves its stripe, and nothing beyond the end is read.
        at, width = offset, self.config.beat_bytes
        for _, start, beats in memory.requests:
            assert start == at and 1 <= beats <= BURST_BEATS
            at += beats * width
            assert start // self.config.stripe_bytes == (at - 1) // self.config.stripe_bytes
        assert at == position
        assert memory.most <= BUFFER_BURSTS * BURST_BEATS
        return len(got), ErrorCode(end.code)


@cocotb.test()
async def lengths(dut):
    """Exactly the program is read; after its last instruction comes PROGRAM_END."""
    program = await Program(dut).begin()
    for length in (0, 1, 2, 3, 4, 5, 8, 33):
        offset = 256 * random.randrange(4)
        latency = random.choice((1, 3, 50))
        assert await program.fetch(length, offset, latency=latency) == (
            length,
            ErrorCode.PROGRAM_END,
        )


@cocotb.test()
async def arenas(dut):
    """The instructions inside the arena come, then ARENA at the first one that is not."""
    program = await Program(dut).begin()
    for arena in (0, 63, 64, 127, 128, 192, 255, 256, 320, 639, 640):
        code = ErrorCode.ARENA if arena < 640 else ErrorCode.PROGRAM_END
        assert await program.fetch(10, arena=arena) == (arena // 64, code)
    assert await program.fetch(8, 512, arena=300) == (0, ErrorCode.ARENA)


@cocotb.test()
async def stop(dut):
    """After `stop` what is asked for still comes, and nothing more is asked for."""
    program = await Program(dut).begin()
    bench, memory = program.bench, program.memory
    for _ in range(6):
        await program.load(60, latency=20)
        await bench.step(random.randint(3, 90))
        bench.set("stop", 1)
        await bench.step()
        asked = len(memory.offered)
        await bench.until(lambda: memory.held is None and not memory.due)
        await bench.step(40)
        assert len(memory.offered) == asked
        assert len(memory.beats) == sum(beats for _, _, beats in memory.requests)
        assert bench.get("idle") == 1
    # A new program after it, from its first instruction.
    assert await program.fetch(5) == (5, ErrorCode.PROGRAM_END)


@cocotb.test()
async def full_rate(dut):
    """One beat a cycle without a gap, the claimed latencies, and all credit used while it waits."""
    program = await Program(dut).begin()
    if program.stall:
        return
    memory, sink = program.memory, program.sink
    beats = INSTRUCTION_BYTES // program.config.beat_bytes
    await program.fetch(60, latency=12)
    assert memory.offered[0] == Fetch.REQUEST_LATENCY
    assert memory.beats == list(range(memory.beats[0], memory.beats[0] + 60 * beats))
    complete = memory.beats[beats - 1 :: beats]
    assert sink.offered[:60] == [cycle + Fetch.LATENCY for cycle in complete]
    assert [cycle for cycle, _ in sink.got] == sink.offered[:60]

    await program.fetch(60, latency=100)
    first = [cycle for cycle, _, _ in memory.requests if cycle < memory.beats[0]]
    assert len(first) == BUFFER_BURSTS and memory.most == BUFFER_BURSTS * BURST_BEATS
    assert first == list(range(first[0], first[0] + 4 * Fetch.REQUEST_PERIOD, Fetch.REQUEST_PERIOD))
