"""The write port of a bus against a memory of cocotbext-axi."""

from __future__ import annotations

import random

import cocotb
from cocotbext.axi import AxiRamWrite, AxiWriteBus

from bursts import BAD, BASE, MEMORY_BYTES, addresses, make_bad, random_bursts, refuse
from runner import parameters
from streams import Lockstep, coin
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.dma.layouts import burst_layout
from weft_hw.dma.write_port import WritePort

CONFIG = PRESETS[parameters()["preset"]]
BEAT = CONFIG.beat_bytes


class Memory(AxiRamWrite):
    async def _write(self, address, data):
        refuse(address)
        await super()._write(address, data)


class Port:
    """The port, its memory, and what it has under way, counted from the bus."""

    def __init__(self, dut):
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        self.burst = self.bench.source("burst", burst_layout(CONFIG), self.stall)
        self.data = self.bench.source("data", None, self.stall)
        self.response = self.bench.sink("response", None, self.stall)
        bus = AxiWriteBus.from_prefix(dut, "axi_")
        self.memory = Memory(bus, dut.clk, dut.rst, size=MEMORY_BYTES)
        self.image = bytearray(random.randbytes(MEMORY_BYTES))
        self.memory.write(0, bytes(self.image))
        for name in ("aw", "w", "b") if self.stall else ():
            getattr(self.memory, f"{name}_channel").set_pause_generator(coin(self.stall))
        for name in ("aw", "w"):
            getattr(self.memory, f"{name}_channel").queue_occupancy_limit = -1
        self.bench.add(self)
        self.forget()

    async def begin(self):
        await self.bench.begin(stop=0, arena_base=BASE)
        return self

    def forget(self):
        self.under_way = self.most = 0
        self.beat = 0
        self.beats: list[int] = []
        self.strobes: list[int] = []

    def drive(self):
        pass

    def sample(self):
        bench = self.bench
        assert bench.get("under_way") == self.under_way, f"cycle {bench.cycle}"
        assert bench.get("idle") == (self.under_way == 0)
        assert self.under_way <= CONFIG.write_outstanding
        self.most = max(self.most, self.under_way)
        assert bench.get("beat") == self.beat, f"cycle {bench.cycle}"
        self.beat = bench.get("axi__wvalid") and bench.get("axi__wready")
        if self.beat:
            self.beats.append(bench.cycle)
            self.strobes.append(bench.get("axi__wstrb"))
        if self.burst.sent and self.burst.sent[-1] == bench.cycle:
            assert not bench.get("stop"), "a burst was taken while the port was stopped"
            self.under_way += 1
        if bench.get("axi__bvalid") and bench.get("axi__bready"):
            self.under_way -= 1

    def send(self, bursts):
        """Queue bursts and random data for them; the expected image takes them."""
        for b in bursts:
            for at in addresses(CONFIG, b):
                data = random.randbytes(BEAT)
                self.data.queue.append(int.from_bytes(data, "little"))
                if at not in BAD:
                    self.image[at : at + BEAT] = data
        self.burst.queue.extend(bursts)

    async def finish(self, count: int):
        """Wait for `count` responses; compares the memory."""
        await self.bench.until(lambda: len(self.response.got) == count)
        await self.bench.step(4)
        assert self.bench.cycle and len(self.response.got) == count and not self.data.queue
        got = self.memory.read(0, MEMORY_BYTES)
        wrong = [i for i in range(MEMORY_BYTES) if got[i] != self.image[i]]
        assert not wrong, f"{len(wrong)} bytes differ, the first at {wrong[0]:#x}"


@cocotb.test()
async def writes(dut):
    """Every burst lands where it belongs; the limit is reached where responses are slow."""
    port = await Port(dut).begin()
    port.send(random_bursts(CONFIG, 60))
    await port.finish(60)
    assert [value for _, value in port.response.got] == [0] * 60
    assert set(port.strobes) == {(1 << BEAT) - 1}
    # Nobody takes responses, and the memory none: bursts stop at the limit.
    await port.bench.reset()
    port.memory.b_channel.clear_pause_generator()
    port.memory.b_channel.pause = True
    limit = CONFIG.write_outstanding
    port.send(random_bursts(CONFIG, limit + 4))
    await port.bench.step(600)
    assert port.most == limit and len(port.burst.sent) == limit
    port.memory.b_channel.pause = False
    await port.finish(limit + 4)


@cocotb.test()
async def full_rate(dut):
    """A burst every BURST_PERIOD cycles up to the limit, a beat every cycle, one after `data`."""
    port = await Port(dut).begin()
    if port.stall:
        return
    port.send(random_bursts(CONFIG, 30, beats=BURST_BEATS))
    await port.finish(30)
    limit, step = CONFIG.write_outstanding, WritePort.BURST_PERIOD
    assert port.burst.sent[:limit] == list(range(0, limit * step, step))
    assert port.beats == list(range(port.beats[0], port.beats[0] + 30 * BURST_BEATS))
    assert port.beats == [cycle + WritePort.LATENCY for cycle in port.data.sent]


@cocotb.test()
async def errors(dut):
    """SLVERR comes out as a response of one, in the order of the bursts."""
    port = await Port(dut).begin()
    bursts = random_bursts(CONFIG, 24)
    bad = [random.random() < 0.5 for _ in bursts]
    for burst, wrong in zip(bursts, bad):
        if wrong:
            make_bad(CONFIG, burst)
    port.send(bursts)
    await port.finish(24)
    assert [value for _, value in port.response.got] == bad


@cocotb.test()
async def stop(dut):
    """A stop in mid-flight: bursts under way end with zero strobes, and then a clean write."""
    port = await Port(dut).begin()
    for _ in range(10):
        bursts = random_bursts(CONFIG, 8)
        before = bytes(port.image)
        port.send(bursts)
        await port.bench.step(random.randint(1, 120))
        port.bench.set("stop", 1)
        at = len(port.beats)
        for source in (port.burst, port.data):
            source.forget()
        await port.bench.step()
        port.response.forget()
        await port.bench.until(lambda: port.bench.get("idle"))
        # One beat may have been on the bus already.
        assert not any(port.strobes[at + 1 :])
        got = port.memory.read(0, MEMORY_BYTES)
        assert all(g in pair for g, *pair in zip(got, before, port.image))
        port.image[:] = got
        port.bench.set("stop", 0)
        port.send(random_bursts(CONFIG, 4))
        await port.finish(4)
        port.response.forget()
