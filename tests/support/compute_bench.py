"""A compute unit with its scratchpad in the Amaranth simulator, and a naive model of it."""

from __future__ import annotations

import itertools

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from weft_hw.compute.unit import ComputeUnit
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction, Opcode, ResultType, encode
from weft_hw.memory.scratchpad import Scratchpad
from weft_hw.numerics import RESIDUAL_SHIFT, SAT_BITS


class Machine:
    """Contents of the on-chip memories, as bytes."""

    def __init__(self, config: AcceleratorConfig, rng: np.random.Generator) -> None:
        self.config = config
        self.scratchpad = rng.integers(0, 256, config.scratchpad_bytes, dtype=np.uint8)
        self.weights = rng.integers(0, 256, config.weight_buffer_bytes, dtype=np.uint8)
        self.parameters = np.zeros(config.parameter_entries, np.uint64)
        bias = rng.integers(-(2**15), 2**15, config.parameter_entries).astype(np.int64)
        mult = rng.integers(0, 2**17, config.parameter_entries).astype(np.int64)
        shift = rng.integers(8, 28, config.parameter_entries).astype(np.int64)
        packed = (bias & 0xFFFFFFFF) | (mult << 32) | (shift << 49)
        self.parameters = packed.astype(np.uint64)
        self.entries = np.stack([bias, mult, shift], axis=1)
        self.tables = rng.integers(0, 256, config.tables * 256, dtype=np.uint8)


def naive(machine: Machine, program: list[Instruction]) -> np.ndarray:
    """Scratchpad bytes after `program`, element by element, from the documented semantics."""
    cfg = machine.config
    memory = machine.scratchpad.copy()
    acc = np.zeros((cfg.accumulator_rows, cfg.cols), np.int64)
    weights = machine.weights.view(np.int8).reshape(-1, cfg.weight_rows_per_cycle, cfg.cols)
    setup = Instruction(Opcode.SETUP)
    h = cfg.tile_words
    for ins in program:
        if ins.opcode is Opcode.SETUP:
            setup = ins
            continue
        counts = ins.vector("count")
        levels, red = ins["tile_levels"], ins["reduction"]
        strides = {}
        for name, source in (("act", ins), ("acc", ins), ("weight", ins), ("result", setup),
                             ("parameter", setup)):
            jumps = list(source.vector(f"{name}_jump"))
            if name in ("weight", "parameter"):
                jumps[:levels] = [0] * levels
            out: list[int] = []
            for i in range(6):
                out.append(jumps[i] + sum((counts[j] - 1) * out[j] for j in range(i)))
            strides[name] = out
        for index in itertools.product(*(range(c) for c in reversed(counts))):
            i = index[::-1]

            at = {
                name: ins[f"{name}_address"]
                + sum(
                    i[j] * stride[j]
                    for j in range(levels if name in ("weight", "parameter") else 0, 6)
                )
                for name, stride in strides.items()
            }

            reduce_levels = [j for j in range(6) if red >> j & 1]
            first = ins["first"] and all(i[j] == 0 for j in reduce_levels)
            last = ins["last"] and all(i[j] == counts[j] - 1 for j in reduce_levels)
            a = memory[at["act"] * 4 :][: cfg.rows].view(np.int8).astype(np.int64)
            tile = weights[at["weight"] :][:h]  # [h, L, C]
            w = tile.transpose(1, 0, 2).reshape(cfg.rows, cfg.cols).astype(np.int64)
            pair = at["parameter"]
            bias, mult, shift = machine.entries[2 * pair : 2 * pair + cfg.cols].T if (
                first or last) else (0, 0, 0)
            before = bias if first else acc[at["acc"]]
            if setup["maximum"]:
                low = [(np.asarray(x) + 128) % 256 - 128 for x in (a @ w, before)]
                value = np.maximum(*low)
            else:
                value = (a @ w + before + 2**31) % 2**32 - 2**31
            if not last:
                acc[at["acc"]] = value
                continue
            kind = ResultType(setup["result_type"])
            if kind is not ResultType.INT32:
                limit = 2 ** (SAT_BITS - 1)
                x = np.clip(value // 2 ** setup["pre"], -limit, limit - 1)
                x = x * mult
                if setup["residual"]:
                    r = memory[at["result"] * 4 :][: cfg.cols].view(np.int8).astype(np.int64)
                    r = (r - setup["residual_zero_point"]) * setup["residual_multiplier"]
                    x += r << RESIDUAL_SHIFT
                y = (x + 2 ** (shift - 1)) // 2**shift + setup["zero_point"]
                value = np.minimum(np.maximum(y, setup["low"]), setup["high"])
            if setup["table_enable"]:
                value = machine.tables[setup["table"] * 256 + value % 256].view(np.int8)
            raw = np.asarray(value, np.int64).astype(f"<i{kind.bytes}").view(np.uint8)
            start = at["result"] * 4
            memory[start : start + raw.size] = raw
    return memory


def jumps(strides, counts):
    return [s - sum((counts[j] - 1) * strides[j] for j in range(i)) for i, s in enumerate(strides)]


def gemm(cfg, m, kt, nt, kind=ResultType.INT8, table=0, order="nk", **settings):
    """SETUP and MATMUL of an [m, kt*R] x [kt*R, nt*C] product; activations in the first half.

    `settings` are further fields of the SETUP.
    """
    line = cfg.line_bytes // 4
    row = nt * cfg.cols * kind.bytes // 4
    counts = [m, kt, nt, 1, 1, 1] if order == "nk" else [m, nt, kt, 1, 1, 1]
    k, n = (1, 2) if order == "nk" else (2, 1)

    def vec(m_=0, k_=0, n_=0):
        v = [0] * 6
        v[0], v[k], v[n] = m_, k_, n_
        return jumps(v, counts)

    h = cfg.tile_words
    fields = {"tile_levels": 1, "reduction": 1 << k, "first": 1, "last": 1,
              "result_address": cfg.scratchpad_words // 2}
    fields |= {f"count{i}": c for i, c in enumerate(counts)}
    for name, v in (("act_jump", vec(m_=kt * line, k_=line)),
                    ("acc_jump", vec(m_=1, n_=0 if order == "nk" else m)),
                    ("weight_jump", vec(k_=h * nt, n_=h))):
        fields |= {f"{name}{i}": x for i, x in enumerate(v) if not (name[0] == "w" and i == 0)}
    low, high = (-128, 127) if kind is ResultType.INT8 else (-(2**15), 2**15 - 1)
    setup = {"result_type": int(kind), "pre": 1, "zero_point": 3, "low": low, "high": high}
    if table:
        setup |= {"table_enable": 1, "table": table - 1}
    setup |= settings
    setup |= {f"result_jump{i}": x for i, x in enumerate(
        vec(m_=row, n_=cfg.cols * kind.bytes // 4))}
    setup |= {f"parameter_jump{i}": x for i, x in enumerate(vec(n_=cfg.cols // 2)) if i}
    return [Instruction(Opcode.SETUP, fields=setup), Instruction(Opcode.MATMUL, fields=fields)]


def run(
    machine: Machine, program: list[Instruction], *, gap: int = 0, seed: int = 0
) -> tuple[np.ndarray, list[dict[str, int]], list[int]]:
    """Scratchpad bytes, the issued rows (cycle and flags), and the cycles of retirement.

    `gap` > 0 leaves up to so many idle cycles before an instruction, and reads with random store
    accesses in the meantime.
    """
    cfg = machine.config
    rng = np.random.default_rng(seed)
    m = Module()
    m.submodules.compute = dut = ComputeUnit(cfg)
    m.submodules.scratchpad = pad = Scratchpad(cfg)
    wiring.connect(m, dut.array, pad.array)
    m.d.comb += pad.result.eq(dut.result)
    d, full = cfg.dma_bytes, (1 << cfg.axi_ports) - 1
    image: list[int] = []
    rows: list[dict[str, int]] = []
    retired: list[int] = []
    clock = [0]
    row = dut.array_row

    async def write(ctx, port, data):
        ctx.set(port.mask, full)
        ctx.set(port.valid, 1)
        for n in range(len(data) // d):
            ctx.set(port.address, n)
            ctx.set(port.data, int.from_bytes(data[n * d :][:d], "little"))
            await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def main(ctx):
        await write(ctx, pad.load, machine.scratchpad.tobytes())
        await write(ctx, dut.weights, machine.weights.tobytes())
        await write(ctx, dut.parameters, machine.parameters.tobytes())
        await write(ctx, dut.tables, machine.tables.tobytes())
        await ctx.tick().repeat(4)
        for n, ins in enumerate(program):
            for _ in range(int(rng.integers(0, gap + 1))):
                await ctx.tick()
            ctx.set(dut.port.start.payload.word, int.from_bytes(encode(ins), "little"))
            ctx.set(dut.port.start.payload.index, n)
            ctx.set(dut.port.start.valid, 1)
            await ctx.tick().until(dut.port.start.ready)
            ctx.set(dut.port.start.valid, 0)
        while len(retired) < len(program):
            await ctx.tick()
        for n in range(cfg.scratchpad_bytes // d):
            ctx.set(pad.store.address, n)
            ctx.set(pad.store.valid, 1)
            await ctx.tick().until(pad.store.ready)
        ctx.set(pad.store.valid, 0)
        while len(image) < cfg.scratchpad_bytes // d:
            await ctx.tick()

    async def watch(ctx):
        while True:
            await ctx.tick()
            clock[0] += 1
            if ctx.get(row):
                rows.append({"cycle": clock[0], "word": ctx.get(dut.array.word)})
            if ctx.get(dut.port.retire.valid):
                retired.append(clock[0])
            if ctx.get(dut.port.error.valid):
                raise AssertionError("the unit reported an error")
            if ctx.get(pad.store.data_valid):
                image.append(ctx.get(pad.store.data))

    sim = Simulator(m)
    sim.add_clock(1e-8)
    sim.add_testbench(main)
    sim.add_testbench(watch, background=True)
    sim.run()
    raw = b"".join(v.to_bytes(d, "little") for v in image)
    return np.frombuffer(raw, np.uint8), rows, retired


