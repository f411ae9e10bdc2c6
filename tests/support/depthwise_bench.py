"""A depthwise unit with its scratchpad in the Amaranth simulator, and a naive model of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from naive_emulator import EXECUTE
from weft.backend.emulator.state import State
from weft_hw.config import AcceleratorConfig
from weft_hw.depthwise.slots import GAP, Slots
from weft_hw.depthwise.unit import DepthwiseUnit
from weft_hw.isa import TAP_PARAMETERS, TAPS, Instruction, Opcode, Space, encode
from weft_hw.memory.scratchpad import Scratchpad

__all__ = ["Machine", "Measured", "cycles_of", "naive", "random_instruction", "simulate"]


class Machine:
    """Contents of the on-chip memories."""

    def __init__(self, config: AcceleratorConfig, rng: np.random.Generator) -> None:
        self.config = config
        lines = config.scratchpad_bytes // config.line_bytes
        self.lines = rng.integers(-128, 128, (lines, config.rows)).astype(np.int8)
        shape = (config.tap_words, config.rows)
        self.taps = rng.integers(-128, 128, (TAPS, *shape)).astype(np.int8)
        self.tables = rng.integers(-128, 128, (config.tables, 256)).astype(np.int8)

    def put_parameters(self, word: int, rng: np.random.Generator) -> None:
        """Random parameters of one block, whose first word is `word`."""
        count = self.config.rows
        bias = rng.integers(-(2**15), 2**15, count).astype(np.int64)
        multiplier, shift = rng.integers(0, 2**17, count), rng.integers(8, 28, count)
        raw = (bias & 0xFFFF_FFFF) | (multiplier << 32) | (shift << 49)
        flat = np.zeros(TAP_PARAMETERS * TAPS * count, np.uint8)
        flat[: 8 * count] = np.frombuffer(raw.astype("<u8").tobytes(), np.uint8)
        words = flat.view(np.int8).reshape(TAP_PARAMETERS, TAPS, count)
        self.taps[:, word : word + TAP_PARAMETERS] = words.transpose(1, 0, 2)


def naive(machine: Machine, program: list[Instruction]) -> np.ndarray:
    """The scratchpad's lines after `program`, by the naive emulator."""
    state = State(machine.config, np.zeros(16, np.uint8))
    for space, content in (
        (Space.SCRATCHPAD, machine.lines),
        (Space.TAPS, machine.taps),
        (Space.TABLES, machine.tables),
    ):
        state.spaces[space][:] = content.view(np.uint8).reshape(-1)
    for instruction in program:
        EXECUTE[instruction.opcode](state, instruction)
    return state.spaces[Space.SCRATCHPAD].view(np.int8).reshape(machine.lines.shape)


def random_instruction(
    machine: Machine, rng: np.random.Generator, *, kernel: tuple[int, int] | None = None,
    outer: tuple[int, int, int] | None = None,
) -> Instruction:
    """A window over a map of random size, its border included; anything that a window can be."""
    config = machine.config
    words = config.line_bytes // 4
    kh, kw = kernel or (int(rng.integers(1, 6)), int(rng.integers(2, 6)))
    stride, dilation = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    groups = -(-kw // TAPS)
    # Columns of one position: a group of taps for each read, or what a stride newly covers.
    if stride == 2 and kw <= TAPS and dilation == 1:
        sub, fire, ahead = 2, 0b10, None
    else:
        sub, fire, ahead, stride = groups, (1 << groups) - 1, dilation, 1
    each = sub * kh
    delays = (1, each - 1 if each > 1 else 1) if ahead is None else (each * ahead, each * ahead)
    while max(delays) > 32 or min(delays) < 1:
        return random_instruction(machine, rng, kernel=(3, 3), outer=outer)
    skip = -(-sum(delays) // each)
    columns, rows, blocks = outer or (int(rng.integers(1, 5)) for _ in range(3))
    counts = [sub, kh, skip + columns, rows, blocks, 1]
    jump_column = int(rng.integers(1, 3))
    strides = [
        jump_column * (TAPS if ahead else 1), 7, jump_column * stride, 29, 1, 0,
    ]  # fmt: skip
    lines = machine.lines.shape[0]
    span = sum((c - 1) * s for c, s in zip(counts, strides))
    room = columns * rows * blocks
    base = int(rng.integers(0, lines - span - room))
    result = base + span + 1 if rng.integers(2) and base + span + room < lines else None
    if result is None:
        base = max(base, min(room, lines - span - 1))
        result = base - room
    block_words = TAP_PARAMETERS + kh * bin(fire).count("1")
    tap = int(rng.integers(0, config.tap_words - blocks * block_words + 1))
    for block in range(blocks):
        machine.put_parameters(tap + block * block_words, rng)

    def jumps(steps: list[int], sizes: list[int], scale: int) -> list[int]:
        found = []
        for level, step in enumerate(steps):
            back = sum((sizes[j] - 1) * steps[j] for j in range(level))
            found.append((step - back) * scale)
        return found

    fields = {f"count{i}": c for i, c in enumerate(counts)}
    fields |= {f"act_jump{i}": j for i, j in enumerate(jumps(strides, counts, words))}
    kept = [columns, rows, blocks, 1]
    steps = [1, columns, columns * rows, 0]
    fields |= {f"result_jump{i + 2}": j for i, j in enumerate(jumps(steps, kept, words))}
    fields |= {f"tap_jump{i + 4}": j for i, j in enumerate(jumps([block_words, 0], kept[2:], 1))}
    low, high = sorted(rng.integers(-128, 128, 2).tolist())
    return Instruction(
        Opcode.DEPTHWISE,
        fields=fields | {
            "fire": fire, "skip": skip, "delay1": delays[0], "delay2": delays[1],
            "act_address": base * words, "result_address": result * words, "tap_address": tap,
            "pre": int(rng.integers(0, 8)), "zero_point": int(rng.integers(-128, 128)),
            "low": low, "high": high, "table_enable": int(rng.integers(0, 2)),
            "table": int(rng.integers(0, config.tables)),
        },
    )  # fmt: skip


def cycles_of(instruction: Instruction) -> int:
    """Cycles that an instruction takes at full rate, from its start to its retirement."""
    counts, skip = instruction.vector("count"), instruction["skip"]
    reads, blocks = math.prod(counts), counts[4] * counts[5]
    paced = counts[3] * blocks * (counts[2] - skip - 1) if counts[0] * counts[1] == 1 else 0
    between = blocks * TAP_PARAMETERS + (blocks - 1) * GAP
    return Slots.LATENCY + reads + paced + between + DepthwiseUnit.LATENCY


@dataclass
class Measured:
    """What a simulation found. retired : cycle of each retirement, with its posts."""

    lines: np.ndarray
    retired: list[tuple[int, int]] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)
    fires: int = 0
    conflicts: int = 0


def simulate(
    machine: Machine, program: list[Instruction], *, traffic: float = 0.0, seed: int = 0,
    limit: int = 60_000,
) -> Measured:
    """Run `program`; in a share `traffic` of cycles the array reads, and writes, some bank."""
    config = machine.config
    m = Module()
    m.submodules.unit = unit = DepthwiseUnit(config)
    m.submodules.scratchpad = pad = Scratchpad(config)
    wiring.connect(m, unit.read, pad.depthwise_read)
    wiring.connect(m, unit.write, pad.depthwise_write)
    lines, per = machine.lines.shape[0], config.dma_bytes
    words = config.line_bytes // 4
    found = Measured(np.zeros_like(machine.lines))
    rng = np.random.default_rng(seed)

    async def bench(ctx) -> None:
        async def write(port, raw: bytes) -> None:
            for at in range(0, len(raw), per):
                ctx.set(port.valid, 1)
                ctx.set(port.address, at // per)
                ctx.set(port.mask, (1 << config.axi_ports) - 1)
                ctx.set(port.data, int.from_bytes(raw[at : at + per], "little"))
                await ctx.tick()
            ctx.set(port.valid, 0)

        await write(pad.load, machine.lines.tobytes())
        await write(unit.taps, machine.taps.tobytes())
        ctx.set(unit.table_write_en, 1)
        for at, value in enumerate(machine.tables.view(np.uint8).reshape(-1).tolist()):
            ctx.set(unit.table_write_address, at)
            ctx.set(unit.table_write_data, value)
            await ctx.tick()
        ctx.set(unit.table_write_en, 0)
        waiting, cycle = list(enumerate(program)), 0
        while len(found.retired) < len(program) and not found.errors and cycle < limit:
            ctx.set(unit.port.start.valid, bool(waiting))
            if waiting:
                index, instruction = waiting[0]
                ctx.set(unit.port.start.payload.word, int.from_bytes(encode(instruction), "little"))
                ctx.set(unit.port.start.payload.index, index)
            busy = rng.random() < traffic
            ctx.set(pad.array.en, int(busy))
            # It stays in a bank for some cycles, as the rows of a product do.
            if rng.random() < 0.15:
                ctx.set(pad.array.word, int(rng.integers(0, lines - 1)) * words)
                ctx.set(pad.result.pair, int(rng.integers(0, lines // 2)))
            # A write of nothing: the bank is taken, and no line changes.
            ctx.set(pad.result.valid, int(rng.random() < traffic))
            ctx.set(pad.result.mask, 0)
            values = (
                unit.port.start.ready, unit.port.retire.valid, unit.port.retire.posts, unit.fire,
                pad.depthwise_conflict, unit.port.error.valid, unit.port.error.code,
                unit.port.error.index,
            )
            _, _, ready, retired, posts, fire, conflict, error, code, index = (
                await ctx.tick().sample(*values)
            )
            if waiting and ready:
                waiting.pop(0)
                found.started.append(cycle)
            if retired:
                found.retired.append((cycle, int(posts)))
            if error:
                found.errors.append((int(code), int(index)))
            found.fires += int(fire)
            found.conflicts += int(conflict)
            cycle += 1
        assert cycle < limit, "the unit hangs"
        ctx.set(pad.array.en, 0)
        ctx.set(pad.result.valid, 0)
        await ctx.tick().repeat(4)
        raw = bytearray()
        for at in range(config.scratchpad_bytes // per):
            ctx.set(pad.store.valid, 1)
            ctx.set(pad.store.address, at)
            await ctx.tick()
            ctx.set(pad.store.valid, 0)
            while not ctx.get(pad.store.data_valid):
                await ctx.tick()
            raw += ctx.get(pad.store.data).to_bytes(per, "little")
            await ctx.tick()
        found.lines = np.frombuffer(bytes(raw), np.int8).reshape(machine.lines.shape)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return found
