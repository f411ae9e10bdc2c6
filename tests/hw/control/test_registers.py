"""The register file and the counters, by the register map."""

import random

import pytest

from control_bench import Bench, simulate
from weft_hw.config import PRESETS
from weft_hw.control.axilite import OKAY, SLVERR
from weft_hw.control.counters import Counters
from weft_hw.control.register_file import RegisterFile, constant_registers
from weft_hw.interface import event_bits
from weft_hw.registers import COUNTERS, REGISTER_BYTES, REGISTERS, Access

TINY = PRESETS["tiny"]


async def poke(ctx, dut, offset, value, strobe=15) -> bool:
    """Write; returns whether it was refused."""
    ctx.set(dut.bus.write_word, offset // 4)
    ctx.set(dut.bus.write_data, value)
    ctx.set(dut.bus.write_strobe, strobe)
    ctx.set(dut.bus.write_enable, 1)
    _, _, error = await ctx.tick().sample(dut.bus.write_error)
    ctx.set(dut.bus.write_enable, 0)
    return bool(error)


async def peek(ctx, dut, offset) -> tuple[int, bool]:
    """Read: value, and whether it was refused."""
    ctx.set(dut.bus.read_word, offset // 4)
    await ctx.tick().repeat(RegisterFile.LATENCY)
    return ctx.get(dut.bus.read_data), bool(ctx.get(dut.bus.read_error))


def test_every_word_of_the_window():
    """Absent words refuse both; read-only ones refuse writes; constants have their values."""
    dut = RegisterFile(TINY)
    present = {r.offset: r for r in REGISTERS.values()}
    constants = constant_registers(TINY)

    async def main(ctx):
        for offset in range(0, REGISTER_BYTES, 4):
            register = present.get(offset)
            value, refused = await peek(ctx, dut, offset)
            assert refused == (register is None)
            if register and register.name in constants:
                assert value == constants[register.name]
            refused = await poke(ctx, dut, offset, 0xFFFF_FFFF)
            assert refused == (register is None or register.access is Access.READ)

    simulate(dut, main)


def test_read_write_with_strobes():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = RegisterFile(TINY)
    registers = [r for r in REGISTERS.values() if r.access is Access.READ_WRITE]
    held = {r.name: 0 for r in registers}

    async def main(ctx):
        for _ in range(400):
            r, value, strobe = rng.choice(registers), rng.getrandbits(32), rng.randrange(16)
            mask = sum(0xFF << 8 * i for i in range(4) if strobe >> i & 1)
            held[r.name] = (held[r.name] & ~mask | value & mask) & ((1 << r.width) - 1)
            assert not await poke(ctx, dut, r.offset, value, strobe)
            for other in registers:
                assert ctx.get(getattr(dut, other.name)) == held[other.name]
                assert await peek(ctx, dut, other.offset) == (held[other.name], False)

    simulate(dut, main)


def test_read_only_inputs():
    dut = RegisterFile(TINY)

    async def main(ctx):
        for i, name in enumerate(["status", "error_code", "error_instruction", *COUNTERS]):
            value = (i + 1) & ((1 << REGISTERS[name].width) - 1)
            ctx.set(getattr(dut, name), value)
            assert await peek(ctx, dut, REGISTERS[name].offset) == (value, False)

    simulate(dut, main)


def test_control_is_a_pulse_of_enabled_bytes():
    dut = RegisterFile(TINY)
    offset = REGISTERS["control"].offset

    async def main(ctx):
        for value, strobe, expected in ((3, 15, 3), (1, 1, 1), (3, 14, 0)):
            ctx.set(dut.bus.write_word, offset // 4)
            ctx.set(dut.bus.write_data, value)
            ctx.set(dut.bus.write_strobe, strobe)
            ctx.set(dut.bus.write_enable, 1)
            assert ctx.get(dut.control) == 0
            await ctx.tick()
            ctx.set(dut.bus.write_enable, 0)
            assert ctx.get(dut.control) == expected
            await ctx.tick()
            assert ctx.get(dut.control) == 0
            assert await peek(ctx, dut, offset) == (0, False)

    simulate(dut, main)


def test_interrupt():
    """Pending bits are set by events, cleared by ones, and reach the line where enabled."""
    dut = RegisterFile(TINY)
    enable, pending = REGISTERS["irq_enable"].offset, REGISTERS["irq_pending"].offset

    async def main(ctx):
        ctx.set(dut.irq_set, 3)
        await ctx.tick()
        ctx.set(dut.irq_set, 0)
        assert await peek(ctx, dut, pending) == (3, False)
        for enabled in range(4):
            await poke(ctx, dut, enable, enabled)
            assert ctx.get(dut.irq) == (enabled != 0)
        await poke(ctx, dut, pending, 1)
        assert await peek(ctx, dut, pending) == (2, False)
        await poke(ctx, dut, pending, 2, strobe=14)
        assert await peek(ctx, dut, pending) == (2, False)
        ctx.set(dut.irq_set, 2)
        await poke(ctx, dut, pending, 2)
        ctx.set(dut.irq_set, 0)
        assert await peek(ctx, dut, pending) == (2, False), "an event wins over a clear"
        ctx.set(dut.irq_clear, 1)
        await ctx.tick()
        assert await peek(ctx, dut, pending) == (0, False)
        assert not ctx.get(dut.irq)

    simulate(dut, main)


def test_over_the_bus():
    """The same through AXI4-Lite at the top: values, refusals."""
    bench = Bench(TINY, bytes(64))

    async def main(ctx):
        for r in REGISTERS.values():
            allowed = r.access is not Access.READ and r.name != "control"
            if allowed:
                assert await bench.write(ctx, r.name, 0x00AB_CD01) == OKAY
            elif r.access is Access.READ:
                assert await bench.write(ctx, r.name, 1) == SLVERR
        for r in REGISTERS.values():
            value = await bench.read(ctx, r.name)
            if r.access is Access.READ_WRITE:
                assert value == 0x00AB_CD01 & ((1 << r.width) - 1)
        assert await bench.write(ctx, 0xFFC, 1) == SLVERR
        assert ctx.get(bench.dut.arena.base) == (0x1_CD01 << 32 | 0x00AB_C000)

    simulate(bench.dut, main)


@pytest.mark.parametrize("name", ["tiny", "kv260"])
def test_counters(name):
    """Sums of events while running; wrap; clear."""
    config = PRESETS[name]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    dut = Counters(config)
    bits = event_bits(config)
    assert set(bits) == set(COUNTERS)
    limits = dict.fromkeys(bits, 1) | {"instructions": 4}
    limits |= {"beats_read": config.axi_ports, "beats_written": config.axi_ports}
    sums = dict.fromkeys(bits, 0)

    async def main(ctx):
        for _ in range(300):
            running = rng.random() < 0.8
            ctx.set(dut.running, running)
            for counter in bits:
                step = rng.randint(0, limits[counter])
                ctx.set(getattr(dut, f"event_{counter}"), step)
                sums[counter] += step * running
            await ctx.tick()
        ctx.set(dut.running, 0)
        await ctx.tick()
        assert {c: ctx.get(getattr(dut, c)) for c in bits} == sums
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        await ctx.tick()
        assert not any(ctx.get(getattr(dut, c)) for c in bits)

    simulate(dut, main)
