"""The read port of a bus against a memory of cocotbext-axi."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from cocotbext.axi import AxiRamRead, AxiReadBus

from bursts import BAD, BASE, MEMORY_BYTES, addresses, make_bad, random_bursts, refuse
from runner import parameters
from streams import Lockstep, coin
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.dma.layouts import burst_layout
from weft_hw.dma.read_port import ReadPort

CONFIG = PRESETS[parameters()["preset"]]
BEAT = CONFIG.beat_bytes


class Memory(AxiRamRead):
    async def _read(self, address, length):
        refuse(address)
        return await super()._read(address, length)


class Port:
    """The port, its memory, and what it has under way, counted from the bus."""

    def __init__(self, dut):
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        layout = burst_layout(CONFIG)
        self.burst = self.bench.source("burst", layout, self.stall)
        self.fetch = self.bench.source("fetch", layout, self.stall)
        self.data = self.bench.sink("data", None, self.stall)
        bus = AxiReadBus.from_prefix(dut, "axi_")
        self.memory = Memory(bus, dut.clk, dut.rst, size=MEMORY_BYTES)
        self.memory.write(0, random.randbytes(MEMORY_BYTES))
        for name in ("ar", "r") if self.stall else ():
            getattr(self.memory, f"{name}_channel").set_pause_generator(coin(self.stall))
        # Addresses are accepted as fast as they come; the port itself has to keep the limit.
        self.memory.ar_channel.queue_occupancy_limit = -1
        self.bench.add(self)
        #: Beats of loads, and of fetches, that came while the port was stopped.
        self.dropped = [0, 0]
        self.forget()

    async def begin(self):
        await self.bench.begin(stop=0, arena_base=BASE)
        return self

    def forget(self):
        #: (is a fetch, tag, beats left) of each burst under way, oldest first.
        self.owners: deque[list[int]] = deque()
        self.fetched: list[tuple[int, int]] = []
        self.beats: list[tuple[int, bool]] = []
        self.refused = self.most = 0
        self.faults: list[tuple[bool, int]] = []
        self.expected_faults: list[tuple[bool, int]] = []
        self.flags = {"fault": 0, "beat": 0, "fetch_beat": 0, "fetch_data_valid": 0}

    def drive(self):
        self.sending = [
            list(source.queue)[0] if source.queue else None for source in (self.fetch, self.burst)
        ]

    def sample(self):
        bench = self.bench
        under_way = len(self.owners)
        assert bench.get("under_way") == under_way, f"cycle {bench.cycle}"
        assert bench.get("idle") == (under_way == 0)
        assert under_way <= CONFIG.read_outstanding
        self.most = max(self.most, under_way)
        for name, want in self.flags.items():
            assert bench.get(name) == want, f"{name}, cycle {bench.cycle}"
        if bench.get("fault"):
            self.faults.append((bool(bench.get("fault_fetch")), bench.get("fault_tag")))
        if bench.get("fetch_data_valid"):
            self.fetched.append((bench.cycle, bench.get("fetch_data")))
        stop = bench.get("stop")
        valid, ready = bench.get("axi__rvalid"), bench.get("axi__rready")
        self.refused += valid and not ready
        self.flags = dict.fromkeys(self.flags, 0)
        if valid and ready:
            owner = self.owners[0]
            is_fetch, tag = bool(owner[0]), owner[1]
            self.dropped[is_fetch] += stop
            self.beats.append((bench.cycle, is_fetch))
            self.flags["fetch_beat" if is_fetch else "beat"] = 1
            self.flags["fetch_data_valid"] = int(is_fetch and not stop)
            if bench.get("axi__rresp") and not stop:
                self.flags["fault"] = 1
                self.expected_faults.append((is_fetch, tag))
            owner[2] -= 1
            assert bench.get("axi__rlast") == (owner[2] == 0)
            if not owner[2]:
                self.owners.popleft()
        for is_fetch, source, item in zip((1, 0), (self.fetch, self.burst), self.sending):
            if source.sent and source.sent[-1] == bench.cycle:
                assert not stop, "a burst was taken while the port was stopped"
                assert not (is_fetch == 0 and self.fetch.valid), "a fetch waits for a load"
                self.owners.append([is_fetch, item["tag"], item["beats"]])

    def bytes_of(self, bursts) -> list[int]:
        """The beats of bursts, in order."""
        out = []
        for b in bursts:
            for at in addresses(CONFIG, b):
                data = bytes(BEAT) if at in BAD else self.memory.read(at, BEAT)
                out.append(int.from_bytes(data, "little"))
        return out


async def run(port: Port, loads, fetches):
    """Read all bursts and compare."""
    want, fetched = port.bytes_of(loads), port.bytes_of(fetches)
    port.burst.queue.extend(loads)
    port.fetch.queue.extend(fetches)
    await port.bench.until(
        lambda: len(port.data.got) == len(want) and len(port.fetched) == len(fetched)
    )
    await port.bench.step(4)
    assert [value for _, value in port.data.got] == want
    assert [value for _, value in port.fetched] == fetched
    assert port.faults == port.expected_faults


@cocotb.test()
async def loads_and_fetches(dut):
    """Data of either kind come in the order of their bursts; the limit is reached, not passed."""
    port = await Port(dut).begin()
    for _ in range(3):
        await port.bench.reset()
        await run(port, random_bursts(CONFIG, 40), random_bursts(CONFIG, 12))
        assert port.most == CONFIG.read_outstanding


@cocotb.test()
async def full_rate(dut):
    """A burst every BURST_PERIOD cycles up to the limit; no beat of the bus is held back."""
    port = await Port(dut).begin()
    if port.stall:
        return
    limit, step = CONFIG.read_outstanding, ReadPort.BURST_PERIOD
    await run(port, random_bursts(CONFIG, 30, beats=BURST_BEATS), [])
    assert port.burst.sent[:limit] == list(range(0, limit * step, step))
    assert port.refused == 0 and port.most == limit
    cycles = [cycle for cycle, _ in port.beats]
    assert port.data.offered == [cycle + ReadPort.DATA_LATENCY for cycle in cycles]
    # The memory itself rests for a few cycles before the first beat only.
    assert cycles == list(range(cycles[0], cycles[0] + 30 * BURST_BEATS))
    await port.bench.reset()
    await run(port, [], random_bursts(CONFIG, 30))
    cycles = [cycle for cycle, _ in port.beats]
    assert [cycle for cycle, _ in port.fetched] == [c + ReadPort.FETCH_LATENCY for c in cycles]


@cocotb.test()
async def back_pressure(dut):
    """With nobody to take data the port holds one burst, and the rest waits on the bus."""
    port = await Port(dut).begin()
    port.data.pauses = True
    loads = random_bursts(CONFIG, 6, beats=BURST_BEATS)
    port.burst.queue.extend(loads)
    await port.bench.step(300)
    assert BURST_BEATS <= len(port.beats) <= BURST_BEATS + ReadPort.DATA_LATENCY
    port.data.pauses = False
    want = port.bytes_of(loads)
    await port.bench.until(lambda: len(port.data.got) == len(want))
    assert [value for _, value in port.data.got] == want


@cocotb.test()
async def errors(dut):
    """SLVERR gives a fault with owner and tag, one for every such beat, and data still flow."""
    port = await Port(dut).begin()
    bad = random_bursts(CONFIG, 8)
    for burst in bad[::2]:
        make_bad(CONFIG, burst)
    await run(port, bad, [dict(b) for b in bad])
    assert {is_fetch for is_fetch, _ in port.faults} == {False, True}


@cocotb.test()
async def stop(dut):
    """A stop in mid-flight: nothing new, all data are dropped, and then a clean read."""
    port = await Port(dut).begin()
    for _ in range(10):
        port.burst.queue.extend(random_bursts(CONFIG, 10))
        # Fetches go first: with many of them, they are what a stop meets.
        port.fetch.queue.extend(random_bursts(CONFIG, random.choice((0, 3, 20))))
        await port.bench.step(random.randint(1, 120))
        for source in (port.burst, port.fetch):
            source.forget()
        port.bench.set("stop", 1)
        await port.bench.step()
        port.data.forget()
        await port.bench.until(lambda: port.bench.get("idle"))
        fetched, faults = len(port.fetched), len(port.faults)
        await port.bench.step(10)
        assert (len(port.fetched), len(port.faults), port.data.got) == (fetched, faults, [])
        port.bench.set("stop", 0)
        port.fetched.clear()
        await run(port, random_bursts(CONFIG, 4), random_bursts(CONFIG, 4))
        port.data.forget()
        port.fetched.clear()
    assert min(port.dropped) > 0, "a stop has to meet both kinds for this test to mean anything"
