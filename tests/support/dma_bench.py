"""A Dma between a Python AXI memory and Python on-chip memories."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from amaranth.sim import Simulator

from weft_hw.config import AcceleratorConfig
from weft_hw.dma.dma import Dma
from weft_hw.interface import POST_BITS
from weft_hw.isa import LAYOUTS, Instruction, Opcode, Space, encode, space_words

BASE = 0x1_0000_0000 - 0x40_0000
GUARD = 256

AR = ("araddr", "arlen", "arsize", "arburst", "arlock", "arcache", "arprot", "arqos", "arid")
AW = ("awaddr", "awlen", "awsize", "awburst", "awlock", "awcache", "awprot", "awqos", "awid")
W = ("wdata", "wstrb", "wlast")


@dataclass
class Stalls:
    """Probability that a side is not ready, or has nothing, in a cycle."""

    ar: float = 0.0
    r: float = 0.0
    aw: float = 0.0
    w: float = 0.0
    b: float = 0.0
    chip_write: float = 0.0
    chip_read: float = 0.0

    @classmethod
    def all(cls, p: float) -> Stalls:
        return cls(p, p, p, p, p, p, p)


@dataclass
class Port:
    reads: deque = field(default_factory=deque)  # [address, beats left, time]
    writes: deque = field(default_factory=deque)  # [address, beats]
    data: deque = field(default_factory=deque)  # (bytes, strobe, last)
    answers: deque = field(default_factory=deque)  # (time, response)
    held: dict = field(default_factory=dict)
    out: dict = field(default_factory=dict)
    peak_reads: int = 0
    peak_writes: int = 0
    pending_writes: int = 0


class Bench:
    """Runs a Dma; `memory` is the arena between two guards, `chip` the on-chip memories.

    Every rule of the bus that is broken raises AssertionError inside the simulation.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        seed: int,
        stalls: Stalls | None = None,
        arena_bytes: int = 1 << 16,
        latency: int = 20,
        read_latency: int = 3,
    ) -> None:
        print(f"seed {seed} config {config.name}")
        self.config, self.rng = config, random.Random(seed)
        self.stalls = stalls or Stalls()
        self.latency, self.read_latency = latency, read_latency
        self.arena_bytes = arena_bytes
        self.memory = bytearray(self.rng.randbytes(arena_bytes + 2 * GUARD))
        self.chip = {s: bytearray(self.rng.randbytes(4 * space_words(s, config))) for s in Space}
        self.bad_read: range = range(0)
        self.bad_write: range = range(0)
        self.dma = Dma(config)
        self.ports = [Port() for _ in range(config.axi_ports)]
        self.cycle = 0
        self.retired: list[tuple[str, int, int]] = []  # unit, posts, cycle
        self.errors: list[tuple[int, int]] = []
        self.fetched: list[bytes] = []
        self.retire_hook = lambda unit: None
        self.beats_read = self.beats_written = self.beats_fetched = 0
        self.answering = True  # False: the memory answers nothing
        self.zero_strobes = self.strobes = 0
        self.first_word = self.last_word = 0
        self.first_beat = self.last_beat = 0
        self.sim = Simulator(self.dma)
        self.sim.add_clock(1e-8)
        self.sim.add_process(self._process)

    def arena(self, start: int, stop: int) -> bytes:
        """Bytes of the arena."""
        return bytes(self.memory[GUARD + start : GUARD + stop])

    def _pin(self, p: int, name: str):
        axi = self.dma.axi[p]
        return getattr(axi.read if name in axi.read.signature.members else axi.write, name)

    # -- the world, one clock edge at a time ------------------------------------------------------

    async def _process(self, ctx):
        dma, ports = self.dma, range(self.config.axi_ports)
        names = (*AR, "arvalid", "rready", *AW, "awvalid", *W, "wvalid", "bready")
        watched = [self._pin(p, n) for p in ports for n in names]
        other = {
            "write_valid": dma.chip_write.valid,
            "space": dma.chip_write.payload.space,
            "address": dma.chip_write.payload.address,
            "mask": dma.chip_write.payload.mask,
            "data": dma.chip_write.payload.data,
            "read_valid": dma.chip_read.valid,
            "read_address": dma.chip_read.address,
            "load": dma.load.retire.valid,
            "load_posts": dma.load.retire.posts,
            "store": dma.store.retire.valid,
            "store_posts": dma.store.retire.posts,
            "error": dma.load.error.valid,
            "code": dma.load.error.code,
            "index": dma.load.error.index,
            "fetched": dma.fetch.data_valid,
            "fetch_data": dma.fetch.data,
            "beats_read": dma.beats_read,
            "beats_written": dma.beats_written,
            "beats_fetched": dma.beats_fetched,
        }
        ctx.set(dma.arena.base, BASE)
        ctx.set(dma.arena.bytes, self.arena_bytes)
        write_ready = read_ready = 0
        reads: deque = deque()
        async for _, _, *values in ctx.tick().sample(*watched, *other.values()):
            self.cycle += 1
            for p in ports:
                sampled = dict(zip(names, values[p * len(names) :], strict=False))
                self._port(ctx, p, sampled)
            now = dict(zip(other, values[len(watched) :], strict=True))
            self.beats_read += now["beats_read"]
            self.beats_written += now["beats_written"]
            self.beats_fetched += now["beats_fetched"]
            if now["write_valid"] and write_ready:
                self._chip_write(now)
            write_ready = int(self.rng.random() >= self.stalls.chip_write)
            ctx.set(dma.chip_write.ready, write_ready)
            if now["read_valid"] and read_ready:
                size = self.config.dma_bytes
                start = now["read_address"] * size
                word = int.from_bytes(self.chip[Space.SCRATCHPAD][start : start + size], "little")
                reads.append((self.cycle + self.read_latency - 1, word))
            read_ready = int(self.rng.random() >= self.stalls.chip_read)
            ctx.set(dma.chip_read.ready, read_ready)
            answer = reads and reads[0][0] <= self.cycle
            ctx.set(dma.chip_read.data_valid, int(bool(answer)))
            ctx.set(dma.chip_read.data, reads.popleft()[1] if answer else self.rng.getrandbits(64))
            for unit in ("load", "store"):
                if now[unit]:
                    self.retired.append((unit, now[f"{unit}_posts"], self.cycle))
                    self.retire_hook(unit)
            if now["error"]:
                self.errors.append((now["code"], now["index"]))
            if now["fetched"]:
                self.fetched.append(now["fetch_data"].to_bytes(self.config.beat_bytes, "little"))

    def _chip_write(self, now):
        size, beat = self.config.dma_bytes, self.config.beat_bytes
        target = self.chip[Space(now["space"])]
        data = now["data"].to_bytes(size, "little")
        assert now["mask"] != 0
        for i in range(self.config.axi_ports):
            if now["mask"] >> i & 1:
                at = now["address"] * size + i * beat
                assert at + beat <= len(target), "a write leaves its memory"
                target[at : at + beat] = data[i * beat : (i + 1) * beat]
        self.first_word = self.first_word or self.cycle
        self.last_word = self.cycle

    def _check_burst(self, p, address, length):
        config = self.config
        assert address % config.beat_bytes == 0 and length < 16
        offset = address - BASE
        size = (length + 1) * config.beat_bytes
        assert 0 <= offset and offset + size <= self.arena_bytes, "a burst leaves the arena"
        assert offset // config.stripe_bytes == (offset + size - 1) // config.stripe_bytes
        return offset, size

    def _port(self, ctx, p, s):
        port, config, rng, stalls = self.ports[p], self.config, self.rng, self.stalls
        beat = config.beat_bytes
        out = port.out

        def drive(name, value):
            out[name] = value
            ctx.set(self._pin(p, name), value)

        # Valid and payload stay until ready.
        for valid, ready, names in (
            ("arvalid", "arready", AR),
            ("awvalid", "awready", AW),
            ("wvalid", "wready", W),
        ):
            if valid in port.held:
                assert s[valid], f"{valid} fell before {ready}"
                assert port.held[valid] == [s[n] for n in names], f"{valid}: payload changed"
            port.held.pop(valid, None)
            if s[valid] and not out.get(ready):
                port.held[valid] = [s[n] for n in names]

        # Reads.
        if s["arvalid"] and out.get("arready"):
            offset, _ = self._check_burst(p, s["araddr"], s["arlen"])
            stripe = offset // config.stripe_bytes
            owns = stripe % config.axi_ports == p
            assert owns or p == 0  # fetch goes through port 0
            port.reads.append([offset, s["arlen"] + 1, self.cycle + self.latency])
            port.peak_reads = max(port.peak_reads, len(port.reads))
            assert len(port.reads) <= config.read_outstanding
        drive("arready", int(rng.random() >= stalls.ar))
        if out.get("rvalid") and s["rready"]:
            port.reads[0][0] += beat
            port.reads[0][1] -= 1
            if port.reads[0][1] == 0:
                port.reads.popleft()
            drive("rvalid", 0)
        if not out.get("rvalid") and port.reads and port.reads[0][2] <= self.cycle:
            if rng.random() >= stalls.r and self.answering:
                offset, left, _ = port.reads[0]
                drive("rvalid", 1)
                drive("rdata", int.from_bytes(self.arena(offset, offset + beat), "little"))
                drive("rresp", 2 if offset in self.bad_read else 0)
                drive("rlast", int(left == 1))

        # Writes.
        if s["awvalid"] and out.get("awready"):
            offset, _ = self._check_burst(p, s["awaddr"], s["awlen"])
            assert offset // config.stripe_bytes % config.axi_ports == p
            port.writes.append([offset, s["awlen"] + 1])
            port.pending_writes += 1
            port.peak_writes = max(port.peak_writes, port.pending_writes)
            assert port.pending_writes <= config.write_outstanding
        drive("awready", int(rng.random() >= stalls.aw))
        if s["wvalid"] and out.get("wready"):
            port.data.append((s["wdata"].to_bytes(beat, "little"), s["wstrb"], s["wlast"]))
            self.first_beat = self.first_beat or self.cycle
            self.last_beat = self.cycle
        drive("wready", int(rng.random() >= stalls.w))
        while port.writes and port.data:
            offset, left = port.writes[0]
            data, strobe, last = port.data.popleft()
            assert last == (left == 1), "WLAST is not on the last beat"
            if strobe == 0:
                self.zero_strobes += 1
            else:
                assert strobe == (1 << beat) - 1
                self.strobes += 1
                if offset not in self.bad_write:
                    self.memory[GUARD + offset : GUARD + offset + beat] = data
            response = 2 if offset in self.bad_write else 0
            port.writes[0] = [offset + beat, left - 1]
            if last:
                port.writes.popleft()
                port.answers.append((self.cycle + self.latency // 2, response))
        if out.get("bvalid") and s["bready"]:
            port.answers.popleft()
            port.pending_writes -= 1
            drive("bvalid", 0)
        if not out.get("bvalid") and port.answers and port.answers[0][0] <= self.cycle:
            if rng.random() >= stalls.b and self.answering:
                drive("bvalid", 1)
                drive("bresp", port.answers[0][1])

    # -- stimulus ---------------------------------------------------------------------------------

    async def start(self, ctx, instruction: Instruction, index: int):
        """Hand one instruction to its unit."""
        stream = getattr(self.dma, instruction.unit.name.lower()).start
        ctx.set(stream.payload.word, int.from_bytes(encode(instruction), "little"))
        ctx.set(stream.payload.index, index)
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)

    async def until(self, ctx, condition, limit: int = 5000):
        """Wait until `condition()`; fail after `limit` cycles."""
        for _ in range(limit):
            if condition():
                return
            await ctx.tick()
        raise AssertionError(f"nothing after {limit} cycles: {self.retired} {self.errors}")

    def run(self, *testbenches):
        """Run until all testbenches end; guards must be intact."""
        before = self.memory[:GUARD], self.memory[-GUARD:]
        for testbench in testbenches:
            self.sim.add_testbench(testbench)
        self.sim.run()
        assert (self.memory[:GUARD], self.memory[-GUARD:]) == before


def transfer(opcode: Opcode, *, posts: tuple[int, ...] = (), **fields: int) -> Instruction:
    """A LOAD or STORE."""
    return Instruction(opcode, posts=posts, fields=fields)


def raw_posts(instruction: Instruction) -> int:
    """The post bits of an instruction, as a retirement carries them."""
    first = LAYOUTS[instruction.opcode]["post0_enable"].offset
    word = int.from_bytes(encode(instruction), "little")
    return word >> first & ((1 << POST_BITS) - 1)


def rows_of(instruction: Instruction):
    """Per row: (byte in the arena, byte on chip, bytes)."""
    get = instruction.__getitem__
    for row in range(get("rows")):
        yield (
            get("dram_offset") + row * get("dram_pitch"),
            4 * (get("chip_address") + row * get("chip_pitch")),
            get("bytes"),
        )
