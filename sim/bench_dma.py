"""Loads and stores through the AXI memories of cocotbext-axi."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiRam

from runner import CLOCK_NS, parameters, start
from streams import pause_axi
from weft_hw.config import PRESETS
from weft_hw.isa import ErrorCode, Instruction, Opcode, encode

#: The memory wraps at its size, which divides the base; so the base is its first byte.
MEMORY_BYTES = 1 << 16
BASE = 0x1000_0000
ARENA_BYTES = MEMORY_BYTES - 4096
#: Loads read the first part, stores write the second; the rest of the arena must not change.
PART_BYTES = 1 << 14
#: Cycles of a transfer beside those of its data: ledger, walker, memory, gathering.
OVERHEAD_CYCLES = 32


class Bench:
    """Clock, reset and one memory behind all ports."""

    def __init__(self, dut):
        self.dut, self.config = dut, PRESETS[parameters()["preset"]]
        self.stall = parameters()["stall"]
        self.ports: list[AxiRam] = []
        for p in range(self.config.axi_ports):
            mem = self.ports[0].mem if self.ports else None
            bus = AxiBus.from_prefix(dut, f"m_axi{p}")
            self.ports.append(AxiRam(bus, dut.clk, dut.rst, size=MEMORY_BYTES, mem=mem))
            pause_axi(self.ports[-1], self.stall)
        self.image = bytearray(random.randbytes(MEMORY_BYTES))
        self.ports[0].write(0, bytes(self.image))

    async def begin(self) -> Bench:
        for name in ("load_valid", "store_valid", "abort", "chip_stall"):
            getattr(self.dut, name).value = 0
        self.dut.arena_base.value = BASE
        self.dut.arena_bytes.value = ARENA_BYTES
        await start(self.dut)
        if self.stall:
            cocotb.start_soon(self._stall_chip())
        return self

    async def _stall_chip(self):
        while True:
            self.dut.chip_stall.value = int(random.random() < self.stall)
            await RisingEdge(self.dut.clk)

    async def issue(self, instruction: Instruction):
        """Hand an instruction to its unit."""
        unit = instruction.unit.name.lower()
        valid, ready = getattr(self.dut, f"{unit}_valid"), getattr(self.dut, f"{unit}_ready")
        getattr(self.dut, unit).value = int.from_bytes(encode(instruction), "little")
        valid.value = 1
        await RisingEdge(self.dut.clk)
        while not ready.value:
            await RisingEdge(self.dut.clk)
        valid.value = 0

    async def retired(self, unit: str, count: int):
        """Wait until `count` transfers of a unit have retired since reset."""
        signal = getattr(self.dut, f"{unit}s")
        for _ in range(20000):
            await RisingEdge(self.dut.clk)
            if int(signal.value) == count:
                return
        raise AssertionError(f"{int(signal.value)} {unit}s of {count} retired")

    def expect(self, instruction: Instruction, chip: bytearray):
        """Do to the expected memory, or to `chip`, what an instruction does."""
        get = instruction.__getitem__
        for row in range(get("rows")):
            dram = get("dram_offset") + row * get("dram_pitch")
            at = 4 * (get("chip_address") + row * get("chip_pitch"))
            size = get("bytes")
            if instruction.opcode is Opcode.LOAD and get("fill"):
                chip[at : at + size] = bytes([get("fill_value") & 0xFF]) * size
            elif instruction.opcode is Opcode.LOAD:
                chip[at : at + size] = self.image[dram : dram + size]
            else:
                self.image[dram : dram + size] = chip[at : at + size]

    def check(self):
        got = self.ports[0].read(0, MEMORY_BYTES)
        wrong = [i for i in range(MEMORY_BYTES) if got[i] != self.image[i]]
        assert not wrong, f"{len(wrong)} bytes differ, the first at {wrong[0]:#x}"


def move(
    opcode: Opcode,
    offset: int,
    chip: int,
    size: int,
    rows: int,
    gap: int,
    chip_gap: int,
    **more: int,
):
    """A transfer in bytes; gaps are between the end of a row and the next."""
    return Instruction(
        opcode,
        fields={
            "dram_offset": offset,
            "dram_pitch": size + gap,
            "rows": rows,
            "bytes": size,
            "chip_address": chip // 4,
            "chip_pitch": (size + chip_gap) // 4,
            **more,
        },
    )


@cocotb.test()
async def random_transfers(dut):
    """Rounds of a few loads, then stores of what they wrote; the whole memory is compared."""
    bench = await Bench(dut).begin()
    config = bench.config
    chip_bytes = min(config.scratchpad_bytes, PART_BYTES)
    loads = stores = 0
    for _ in range(6):
        chip, here = bytearray(chip_bytes), 0
        ranges = []
        while True:
            size, rows = 16 * random.randint(1, 24), random.randint(1, 5)
            gap, chip_gap = random.choice([(0, 0), (16, 0), (48, 0), (0, 16), (16 * 9, 32)])
            span, chip_span = rows * (size + gap), rows * (size + chip_gap)
            if here + chip_span > chip_bytes:
                break
            at = 16 * random.randrange((PART_BYTES - span) // 16)
            fill = {"fill": 1, "fill_value": random.randrange(-128, 128)}
            fill = fill if random.random() < 0.3 else {}
            load = move(Opcode.LOAD, at, here, size, rows, gap, chip_gap, **fill)
            bench.expect(load, chip)
            ranges.append((here, size, rows, chip_gap))
            here += chip_span
            await bench.issue(load)
            loads += 1
        await bench.retired("load", loads)
        at = PART_BYTES + 16 * random.randrange(64)
        for here, size, rows, chip_gap in ranges:
            gap = random.choice([0, 16, 112])
            store = move(Opcode.STORE, at, here, size, rows, gap, chip_gap)
            at += rows * (size + gap)
            bench.expect(store, chip)
            await bench.issue(store)
            stores += 1
        await bench.retired("store", stores)
        bench.check()
    assert int(dut.errors.value) == 0 and dut.bus_idle.value == 1


@cocotb.test()
async def rates(dut):
    """Where nothing stalls, a transfer of twice the bytes takes exactly one cycle more per D."""
    bench = await Bench(dut).begin()
    size, wide = min(8192, bench.config.scratchpad_bytes), bench.config.dma_bytes
    chip = bytearray(size)
    done = {"load": 0, "store": 0}
    for unit, opcode, offset, more in (
        ("load", Opcode.LOAD, 256, {}),
        ("load", Opcode.LOAD, 256, {"fill": 1, "fill_value": -77}),
        ("store", Opcode.STORE, PART_BYTES, {}),
    ):
        took = []
        for part in (size // 2, size):
            instruction = move(opcode, offset, 0, part, 1, 0, 0, **more)
            bench.expect(instruction, chip)
            before = get_sim_time("ns")
            await bench.issue(instruction)
            done[unit] += 1
            await bench.retired(unit, done[unit])
            took.append(round(get_sim_time("ns") - before) // CLOCK_NS)
            await ClockCycles(dut.clk, 50)
        dut._log.info("%ss of %d and %d bytes: %s cycles", unit, size // 2, size, took)
        assert bench.stall or took[1] - took[0] == size // 2 // wide
        assert bench.stall or took[0] <= size // 2 // wide + OVERHEAD_CYCLES
    bench.check()


@cocotb.test()
async def outside(dut):
    """A transfer that leaves the arena stops with ARENA and touches nothing beyond it."""
    bench = await Bench(dut).begin()
    await bench.issue(move(Opcode.STORE, ARENA_BYTES, 0, 256, 1, 0, 0))
    while int(dut.errors.value) == 0:
        await RisingEdge(dut.clk)
    assert int(dut.code.value) == ErrorCode.ARENA
    await ClockCycles(dut.clk, 200)
    bench.check()


@cocotb.test()
async def abort(dut):
    """Abort in mid-flight, many times; then a clean copy."""
    bench = await Bench(dut).begin()
    size = min(4096, bench.config.scratchpad_bytes)
    for _ in range(8):
        await bench.issue(move(Opcode.LOAD, 0, 0, size, 1, 0, 0))
        await bench.issue(move(Opcode.STORE, PART_BYTES, 0, size, 1, 0, 0))
        await ClockCycles(dut.clk, random.randint(1, 80))
        dut.abort.value = 1
        await ClockCycles(dut.clk, random.choice([1, 20]))
        dut.abort.value = 0
        await RisingEdge(dut.clk)
        for _ in range(4000):
            await RisingEdge(dut.clk)
            if dut.bus_idle.value == 1:
                break
        else:
            raise AssertionError("the bus does not come to rest")
    loads, stores = int(dut.loads.value), int(dut.stores.value)
    chip = bytearray(size)
    for unit, count, instruction in (
        ("load", loads, move(Opcode.LOAD, 1024, 0, size, 1, 0, 0)),
        ("store", stores, move(Opcode.STORE, PART_BYTES, 0, size, 1, 0, 0)),
    ):
        bench.expect(instruction, chip)
        await bench.issue(instruction)
        await bench.retired(unit, count + 1)
    bench.check()
    assert int(dut.errors.value) == 0
