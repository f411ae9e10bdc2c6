"""A control block with a fake memory behind its fetch port and fake units behind its queues."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from amaranth.sim import Simulator

from weft_hw.config import AcceleratorConfig
from weft_hw.control.control import Control
from weft_hw.isa import UNITS, Instruction, Opcode, UnitSpec, encode_program, queued
from weft_hw.registers import CONTROL_START, STATUS_RUNNING, register_map

UNIT_NAMES = tuple(spec.name for spec in queued())


def simulate(component, *testbenches, background=(), deadline: int = 200_000) -> None:
    """Run `testbenches` to their ends on a clock; `background` ones may go on for ever."""
    sim = Simulator(component)
    sim.add_clock(1e-8)
    for bench in testbenches:
        sim.add_testbench(bench)
    for bench in background:
        sim.add_testbench(bench, background=True)

    async def watch(ctx):
        for _ in range(deadline):
            await ctx.tick()
        raise AssertionError(f"the simulation still ran after {deadline} cycles")

    sim.add_testbench(watch, background=True)
    sim.run()


async def sample_when(ctx, condition, *values) -> list:
    """Values at the first clock edge at which `condition` holds.

    Background testbenches use it instead of ``until``, which cannot be abandoned midway.
    """
    while True:
        _, _, holds, *found = await ctx.tick().sample(condition, *values)
        if holds:
            return found


async def transfer_in(ctx, port, payload, idle: Callable[[], bool] = lambda: False) -> None:
    """Put one item on an input stream."""
    while idle():
        await ctx.tick()
    ctx.set(port.payload, payload)
    ctx.set(port.valid, 1)
    await ctx.tick().until(port.ready)
    ctx.set(port.valid, 0)


@dataclass
class Started:
    """An instruction that a fake unit accepted."""

    unit: str
    index: int
    word: int
    cycle: int


@dataclass
class Bench:
    """Simulation of a :class:`Control`.

    memory : the arena; latency : cycles from a fetch request to its first beat;
    duration : cycles from start to retirement, per unit, called for each instruction;
    stall : whether a port stalls in a cycle, called for each port and cycle;
    units : the table of the units.
    """

    config: AcceleratorConfig
    memory: bytes
    latency: int = 50
    duration: Callable[[str], int] = lambda unit: 1
    stall: Callable[[], bool] = lambda: False
    units: Sequence[UnitSpec] = UNITS
    cycle: int = 0
    started: list[Started] = field(default_factory=list)
    retired: list[tuple[str, int, int]] = field(default_factory=list)
    requests: list[tuple[int, int]] = field(default_factory=list)
    irq_cycle: int | None = None
    start_cycle: int | None = None

    def __post_init__(self) -> None:
        self.dut = Control(self.config, units=self.units)
        self.registers = register_map(self.units)
        self.beats: list[tuple[int, int]] = []

    async def write(self, ctx, name: str | int, value: int, strobe: int = 15) -> int:
        """Write a register; returns the response."""
        dut = self.dut
        ctx.set(dut.s_axil.awaddr, self.registers[name].offset if isinstance(name, str) else name)
        ctx.set(dut.s_axil.wdata, value)
        ctx.set(dut.s_axil.wstrb, strobe)
        ctx.set(dut.s_axil.awvalid, 1)
        ctx.set(dut.s_axil.wvalid, 1)
        await ctx.tick().until(dut.s_axil.awready)
        ctx.set(dut.s_axil.awvalid, 0)
        ctx.set(dut.s_axil.wvalid, 0)
        ctx.set(dut.s_axil.bready, 1)
        (response,) = await ctx.tick().sample(dut.s_axil.bresp).until(dut.s_axil.bvalid)
        ctx.set(dut.s_axil.bready, 0)
        return response

    async def read(self, ctx, name: str) -> int:
        """Read a register."""
        dut = self.dut
        ctx.set(dut.s_axil.araddr, self.registers[name].offset)
        ctx.set(dut.s_axil.arvalid, 1)
        await ctx.tick().until(dut.s_axil.arready)
        ctx.set(dut.s_axil.arvalid, 0)
        ctx.set(dut.s_axil.rready, 1)
        (value,) = await ctx.tick().sample(dut.s_axil.rdata).until(dut.s_axil.rvalid)
        ctx.set(dut.s_axil.rready, 0)
        return value

    async def setup(self, ctx, **values: int) -> None:
        """Write the registers of a run; defaults describe the whole memory as arena."""
        defaults = {"arena_bytes": len(self.memory), "irq_enable": 3, "program_offset": 0}
        for name, value in {**defaults, **values}.items():
            await self.write(ctx, name, value)

    async def start(self, ctx) -> None:
        """Ring the doorbell."""
        await self.write(ctx, "control", CONTROL_START)

    async def finish(self, ctx) -> int:
        """Wait for the end of the run; returns the status register."""
        while (status := await self.read(ctx, "status")) & STATUS_RUNNING:
            await ctx.tick().repeat(5)
        return status

    def background(self) -> list:
        """The fake memory, the fake units, and the observer."""
        units = [self._unit(s.name, port) for s, port in zip(queued(self.units), self.dut.ports)]
        return [self._fetch, self._deliver, self._observe, *units]

    async def _observe(self, ctx):
        dut = self.dut
        while True:
            _, _, irq, running = await ctx.tick().sample(dut.irq, dut.running)
            if running and self.start_cycle is None:
                self.start_cycle = self.cycle
            if irq and self.irq_cycle is None:
                self.irq_cycle = self.cycle
            self.cycle += 1

    async def _fetch(self, ctx):
        dut, width = self.dut, self.config.axi_data_bits // 8
        while True:
            while self.stall():
                await ctx.tick()
            ctx.set(dut.fetch.ready, 1)
            offset, beats = await sample_when(
                ctx, dut.fetch.valid, dut.fetch.offset, dut.fetch.beats
            )
            ctx.set(dut.fetch.ready, 0)
            self.requests.append((offset, beats))
            for i in range(beats):
                at = offset + i * width
                raw = self.memory[at : at + width]
                self.beats.append((self.cycle + self.latency, int.from_bytes(raw, "little")))

    async def _deliver(self, ctx):
        dut = self.dut
        while True:
            valid = bool(self.beats) and self.beats[0][0] <= self.cycle and not self.stall()
            ctx.set(dut.fetch.data_valid, valid)
            ctx.set(dut.events.beats_fetched, valid)
            if valid:
                ctx.set(dut.fetch.data, self.beats.pop(0)[1])
            await ctx.tick()

    def _unit(self, name: str, unit):
        port, retire = unit.start, unit.retire
        posts_at = 8 + 3 * 5

        async def run(ctx):
            while True:
                while self.stall():
                    await ctx.tick()
                ctx.set(port.ready, 1)
                (payload,) = await sample_when(ctx, port.valid, port.payload)
                ctx.set(port.ready, 0)
                self.started.append(Started(name, payload.index, payload.word, self.cycle))
                for _ in range(self.duration(name)):
                    await ctx.tick()
                ctx.set(retire.posts, (payload.word >> posts_at) & 0x3FF)
                ctx.set(retire.valid, 1)
                self.retired.append((name, payload.index, self.cycle))
                await ctx.tick()
                ctx.set(retire.valid, 0)

        return run


def run_program(
    config: AcceleratorConfig,
    program: list[Instruction] | bytes,
    *,
    registers: Mapping[str, int] | None = None,
    **bench_options,
) -> tuple[Bench, dict[str, int]]:
    """Run a program once; returns the bench and what every register held afterwards."""
    raw = program if isinstance(program, bytes) else encode_program(program)
    bench = Bench(config, raw, **bench_options)
    ctx_registers = {"program_length": len(raw) // 64, "watchdog": 2000, **(registers or {})}
    found: dict[str, int] = {}

    async def main(ctx):
        ctx.set(bench.dut.bus_idle, 1)
        await bench.setup(ctx, **ctx_registers)
        await bench.start(ctx)
        await bench.finish(ctx)
        for name in bench.registers:
            found[name] = await bench.read(ctx, name)

    simulate(bench.dut, main, background=bench.background())
    return bench, found


def random_program(seed: int, length: int) -> list[Instruction]:
    """A program without deadlock: semaphores go from one unit to another, posts before waits."""
    rng = random.Random(seed)
    opcodes = {"load": Opcode.LOAD, "compute": Opcode.SETUP, "store": Opcode.STORE,
               "depthwise": Opcode.DEPTHWISE}
    window = {f"count{i}": 1 for i in range(6)} | {"delay1": 1, "delay2": 1}
    fields = dict.fromkeys(opcodes, {"rows": 1, "bytes": 16}) | {"compute": {}, "depthwise": window}
    count = len(UNIT_NAMES)
    posted = {name: [0] * 16 for name in UNIT_NAMES}
    program = []
    for _ in range(length):
        unit = rng.choice(UNIT_NAMES)
        # Semaphore s is posted by unit s mod their number and waited on by the next unit.
        mine = [s for s in range(16) if UNIT_NAMES[s % count] == unit]
        before = UNIT_NAMES[UNIT_NAMES.index(unit) - 1]
        available = [s for s in range(16) for _ in range(posted[before][s])]
        waits = rng.sample(available, min(len(available), rng.randrange(4)))
        for s in waits:
            posted[before][s] -= 1
        room = [s for s in mine if posted[unit][s] < 60]
        posts = tuple(rng.choices(room, k=rng.randrange(3)))
        for s in posts:
            posted[unit][s] += 1
        program.append(Instruction(opcodes[unit], tuple(waits), posts, fields[unit]))
    return [*program, Instruction(Opcode.END)]
