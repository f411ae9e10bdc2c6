"""The whole accelerator between the AXI models of cocotbext-axi, which share no code with ours."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from runner import CLOCK_NS, parameters, start
from weft_hw import registers as reg
from weft_hw.isa import ErrorCode

#: Memory models wrap at this size, so the arena's address in them is its low bits.
MEMORY_BYTES = 1 << 20
ARENA = 0x1000_2000
GUARD = 0xA5
REGISTERS = reg.REGISTERS


class Bench:
    """Clock, reset, register master and one memory behind all data ports."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.settings = parameters()
        case = np.load(self.settings["case"])
        self.image, self.expected = case["image"], case["expected"]

    async def begin(self) -> None:
        dut = self.dut
        self.registers = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, dut.aresetn, reset_active_level=False
        )
        self.ports = []
        for p in range(self.settings["ports"]):
            mem = self.ports[0].mem if self.ports else None
            self.ports.append(
                AxiRam(
                    AxiBus.from_prefix(dut, f"m_axi{p}"), dut.aclk, dut.aresetn,
                    reset_active_level=False, size=MEMORY_BYTES, mem=mem,
                )
            )  # fmt: skip
        if self.settings["stall"]:
            self.pause(self.settings["stall"])
        await start(dut, clock="aclk", reset="aresetn", active_low=True)

    def pause(self, probability: float) -> None:
        """Hold each channel of each port back at random."""
        for port in self.ports:
            for side in (port.read_if, port.write_if):
                for name in ("ar_channel", "r_channel", "aw_channel", "w_channel", "b_channel"):
                    channel = getattr(side, name, None)
                    if channel is not None:
                        channel.set_pause_generator(self._coin(probability))
        for channel in (
            self.registers.write_if.aw_channel, self.registers.write_if.w_channel,
            self.registers.write_if.b_channel, self.registers.read_if.ar_channel,
            self.registers.read_if.r_channel,
        ):  # fmt: skip
            channel.set_pause_generator(self._coin(probability))

    @staticmethod
    def _coin(probability: float):
        generator = random.Random(random.getrandbits(64))
        while True:
            yield generator.random() < probability

    async def read(self, name: str) -> int:
        return await self.registers.read_dword(REGISTERS[name].offset)

    async def write(self, name: str, value: int) -> None:
        await self.registers.write_dword(REGISTERS[name].offset, value)

    def fill(self, image: np.ndarray) -> None:
        """`image` at the arena's address, guard bytes everywhere else."""
        memory = np.full(MEMORY_BYTES, GUARD, np.uint8)
        at = ARENA % MEMORY_BYTES
        memory[at : at + len(image)] = image
        self.ports[0].write(0, memory.tobytes())

    async def configure(self) -> None:
        for name, value in (
            ("arena_base_low", ARENA),
            ("arena_base_high", 0),
            ("arena_bytes", len(self.image)),
            ("program_offset", self.settings["program_offset"]),
            ("program_length", self.settings["program_length"]),
            ("watchdog", 20_000),
            ("irq_enable", reg.IRQ_DONE | reg.IRQ_ERROR),
        ):
            await self.write(name, value)

    async def go(self) -> int:
        """Ring the doorbell and wait for the interrupt; the status."""
        await self.write("control", reg.CONTROL_START)
        if not self.dut.irq.value:
            await with_timeout(RisingEdge(self.dut.irq), 200_000 * CLOCK_NS, "ns")
        status = await self.read("status")
        await self.write("irq_pending", reg.IRQ_DONE | reg.IRQ_ERROR)
        await ClockCycles(self.dut.aclk, 2)
        assert not self.dut.irq.value
        return status

    def memory(self) -> np.ndarray:
        return np.frombuffer(self.ports[0].read(0, MEMORY_BYTES), np.uint8)

    def check_memory(self) -> None:
        """Every byte is as the emulator leaves it, the guards included."""
        expected = np.full(MEMORY_BYTES, GUARD, np.uint8)
        at = ARENA % MEMORY_BYTES
        expected[at : at + len(self.expected)] = self.expected
        wrong = np.flatnonzero(self.memory() != expected)
        assert not len(wrong), f"{len(wrong)} bytes differ, the first at offset {wrong[0] - at}"


@cocotb.test()
async def identity(dut):
    """The constant registers hold what the configuration says."""
    bench = Bench(dut)
    await bench.begin()
    assert await bench.read("id") == reg.IDENTIFIER
    high, low = await bench.read("config_hash_high"), await bench.read("config_hash_low")
    assert f"{high:08x}{low:08x}" == bench.settings["config_hash"]


@cocotb.test()
async def program(dut):
    """A program leaves the memory that the emulator leaves, twice in a row."""
    bench = Bench(dut)
    await bench.begin()
    await bench.configure()
    cycles = []
    for _ in range(2):
        bench.fill(bench.image)
        assert await bench.go() == reg.STATUS_DONE
        bench.check_memory()
        cycles.append(await bench.read("cycles"))
    assert await bench.read("instructions") == bench.settings["program_length"]
    if not bench.settings["stall"]:
        assert cycles[0] == cycles[1], "the same program takes the same time"
        assert cycles[0] <= bench.settings["max_cycles"], cycles


@cocotb.test()
async def illegal_opcode(dut):
    """Opcode 0 stops the core with its index; after a soft reset a good program runs."""
    bench = Bench(dut)
    await bench.begin()
    await bench.configure()
    bad, index = bench.image.copy(), 2
    at = bench.settings["program_offset"] + 64 * index
    bad[at : at + 64] = 0
    bench.fill(bad)
    assert await bench.go() & reg.STATUS_ERROR
    assert await bench.read("error_code") == ErrorCode.BAD_OPCODE
    assert await bench.read("error_instruction") == index
    await bench.write("control", reg.CONTROL_RESET)
    while await bench.read("status"):
        await ClockCycles(dut.aclk, 1)
    bench.fill(bench.image)
    assert await bench.go() == reg.STATUS_DONE
    bench.check_memory()
