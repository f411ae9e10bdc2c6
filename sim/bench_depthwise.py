"""The depthwise unit alone: windows of all kinds against the naive emulator, cycle by cycle."""

from __future__ import annotations

import random
from dataclasses import replace

import cocotb
import numpy as np

from depthwise_bench import Machine, cycles_of, naive, random_instruction
from runner import parameters
from streams import Lockstep, Pauses
from weft.program.window_nest import WindowNest
from weft_hw.config import PRESETS
from weft_hw.interface import StartLayout
from weft_hw.isa import Instruction, encode
from weft_hw.memory.scratchpad import Scratchpad

CONFIG = PRESETS[parameters()["preset"]]
STALL = parameters()["stall"]
PER, LINE = CONFIG.dma_bytes, CONFIG.line_bytes


class Memory:
    """The scratchpad: a line comes some cycles after it was asked for, and either side may wait."""

    def __init__(self, bench: Lockstep, lines: np.ndarray) -> None:
        self.bench, self.lines = bench, lines
        self.waits = {"read": Pauses(STALL), "write": Pauses(STALL)}
        self.due: dict[int, int] = {}
        self.held: dict[str, tuple[int, ...]] = {}
        self.taken = {"read": 0, "write": 0}

    def drive(self) -> None:
        bench = self.bench
        for port, waits in self.waits.items():
            bench.set(f"{port}__ready", not waits)
        # What nobody asked for is anything.
        line = self.due.pop(bench.cycle, None)
        raw = random.randbytes(LINE) if line is None else self.lines[line].tobytes()
        bench.set("read__data", int.from_bytes(raw, "little"))

    def sample(self) -> None:
        bench = self.bench
        for port in self.waits:
            if not bench.get(f"{port}__valid"):
                assert port not in self.held, f"{port}: valid fell, cycle {bench.cycle}"
                continue
            line = bench.get(f"{port}__line")
            asked = (line, bench.get("write__data")) if port == "write" else (line,)
            assert self.held.pop(port, asked) == asked, f"{port} changed, cycle {bench.cycle}"
            if not bench.get(f"{port}__ready"):
                self.held[port] = asked
                continue
            self.taken[port] += 1
            if port == "read":
                self.due[bench.cycle + Scratchpad.LINE_LATENCY] = line
            else:
                raw = asked[1].to_bytes(LINE, "little")
                self.lines[line] = np.frombuffer(raw, np.int8)

    def forget(self) -> None:
        self.due.clear()
        self.held.clear()


class Control:
    """Starts and retirements, by cycle."""

    def __init__(self, bench: Lockstep) -> None:
        self.bench = bench
        self.started, self.retired, self.posts = [], [], []
        self.fires = 0
        self.starts = bench.source("port__start", None, STALL)
        bench.watch(self.watch)

    def watch(self) -> None:
        get = self.bench.get
        assert not get("port__error__valid"), f"error {get('port__error__code')}"
        self.fires += get("fire")
        if get("port__retire__valid"):
            self.retired.append(self.bench.cycle)
            self.posts.append(get("port__retire__posts"))

    def give(self, program: list[Instruction]) -> None:
        for index, instruction in enumerate(program):
            word = int.from_bytes(encode(instruction), "little")
            fields = {"word": word, "index": index}
            self.starts.queue.append(StartLayout.const(fields).as_bits())


async def begin(dut, machine: Machine) -> tuple[Lockstep, Memory, Control]:
    """The unit with the taps and tables of a machine, and its scratchpad."""
    bench = Lockstep(dut)
    memory, control = bench.add(Memory(bench, machine.lines.copy())), Control(bench)
    await bench.begin(taps__valid=0, table_write_en=0)
    raw = machine.taps.tobytes()
    bench.set("taps__mask", (1 << CONFIG.axi_ports) - 1)
    for at in range(0, len(raw), PER):
        bench.set("taps__valid", 1)
        bench.set("taps__address", at // PER)
        bench.set("taps__data", int.from_bytes(raw[at : at + PER], "little"))
        await bench.step()
    bench.set("taps__valid", 0)
    bench.set("table_write_en", 1)
    for at, value in enumerate(machine.tables.view(np.uint8).reshape(-1).tolist()):
        bench.set("table_write_address", at)
        bench.set("table_write_data", value)
        await bench.step()
    bench.set("table_write_en", 0)
    return bench, memory, control


@cocotb.test()
async def random_windows(dut):
    """Every line, every post, in order; at full rate in exactly so many cycles."""
    rng = np.random.default_rng(random.getrandbits(32))
    machine = Machine(CONFIG, rng)
    program = [random_instruction(machine, rng) for _ in range(8)]
    program = [replace(i, posts=(n, 15 - n)) for n, i in enumerate(program)]
    bench, memory, control = await begin(dut, machine)
    control.give(program)
    await bench.until(lambda: len(control.retired) == len(program), 100_000)
    await bench.step(2)
    want = naive(machine, program)
    different = np.argwhere(memory.lines != want)
    assert not len(different), f"line, lane {different[0]}: {len(different)} differ"
    assert (want != machine.lines).any()
    nests = [WindowNest(i) for i in program]
    assert control.fires == sum(n.results * n.phases for n in nests)
    assert memory.taken["write"] == sum(n.results for n in nests)
    assert control.posts == [1 | n << 1 | 1 << 5 | (15 - n) << 6 for n in range(len(program))]
    if not STALL:
        took = [end - begin for begin, end in zip(control.starts.sent, control.retired)]
        assert took == [cycles_of(i) for i in program]


@cocotb.test()
async def results_wait(dut):
    """While nothing can be written, the unit stops, loses nothing, and goes on."""
    rng = np.random.default_rng(random.getrandbits(32))
    machine = Machine(CONFIG, rng)
    program = [random_instruction(machine, rng, kernel=(3, 3), outer=(4, 4, 2))]
    bench, memory, control = await begin(dut, machine)
    memory.waits["write"] = True
    control.give(program)
    await bench.step(300)
    reads = memory.taken["read"]
    await bench.step(200)
    assert memory.taken == {"read": reads, "write": 0} and not control.retired
    memory.waits["write"] = False
    await bench.until(lambda: control.retired, 5_000)
    assert (memory.lines == naive(machine, program)).all()
