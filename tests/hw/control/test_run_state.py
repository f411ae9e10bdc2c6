"""Start, error, soft reset and interrupt, as the host sees them."""

import pytest

from control_bench import Bench, simulate
from weft_hw.config import PRESETS
from weft_hw.control.control import ABORT_CYCLES
from weft_hw.isa import ErrorCode, Instruction, Opcode, encode_program, queued
from weft_hw.registers import (
    CONTROL_RESET,
    CONTROL_START,
    COUNTERS,
    IRQ_DONE,
    IRQ_ERROR,
    STATUS_BUS_BUSY,
    STATUS_DONE,
    STATUS_ERROR,
    STATUS_RUNNING,
)

TINY = PRESETS["tiny"]
LOAD = {"rows": 1, "bytes": 16}
GOOD = encode_program([Instruction(Opcode.LOAD, (), (0,), LOAD), Instruction(Opcode.END)])
STUCK = encode_program([Instruction(Opcode.STORE, (9,), (), LOAD), Instruction(Opcode.END)])


def scenario(program, main, **options):
    """Run `main(ctx, bench)` on an idle core whose arena holds `program`."""
    bench = Bench(TINY, program, **options)

    async def run(ctx):
        ctx.set(bench.dut.bus_idle, 1)
        await bench.setup(ctx, program_length=len(program) // 64)
        await main(ctx, bench)

    simulate(bench.dut, run, background=bench.background())


async def pulse_error(ctx, port, code, index):
    ctx.set(port.code, code)
    ctx.set(port.index, index)
    ctx.set(port.valid, 1)
    await ctx.tick()
    ctx.set(port.valid, 0)


def test_idle_after_reset():
    async def main(ctx, bench):
        assert await bench.read(ctx, "status") == 0
        assert not ctx.get(bench.dut.abort)
        assert not ctx.get(bench.dut.running)
        assert not ctx.get(bench.dut.irq)
        assert not ctx.get(bench.dut.fetch.valid)

    scenario(GOOD, main)


def test_runs_again_and_again():
    """Done needs no reset; counters and semaphores start from zero each time."""
    program = encode_program(
        [Instruction(Opcode.LOAD, (), (0, 0), LOAD)] * 20 + [Instruction(Opcode.END)]
    )

    async def main(ctx, bench):
        for _ in range(3):
            await bench.start(ctx)
            assert await bench.finish(ctx) == STATUS_DONE
            assert await bench.read(ctx, "instructions") == 21
            assert ctx.get(bench.dut.irq)
            await bench.write(ctx, "irq_pending", IRQ_DONE)
            assert not ctx.get(bench.dut.irq)

    scenario(program, main, latency=5)


def test_start_is_ignored_while_running():
    async def main(ctx, bench):
        await bench.start(ctx)
        await ctx.tick().repeat(150)
        before = await bench.read(ctx, "cycles")
        await bench.start(ctx)
        assert await bench.read(ctx, "status") == STATUS_RUNNING
        assert await bench.read(ctx, "cycles") > before

    scenario(STUCK, main)


def test_start_is_ignored_while_the_bus_is_busy():
    async def main(ctx, bench):
        ctx.set(bench.dut.bus_idle, 0)
        assert await bench.read(ctx, "status") == STATUS_BUS_BUSY
        await bench.start(ctx)
        assert await bench.read(ctx, "status") == STATUS_BUS_BUSY
        assert not bench.requests
        ctx.set(bench.dut.bus_idle, 1)
        await bench.start(ctx)
        ctx.set(bench.dut.bus_idle, 0)
        assert await bench.read(ctx, "status") == STATUS_RUNNING
        await ctx.tick().repeat(150)
        ctx.set(bench.dut.bus_idle, 1)
        assert await bench.finish(ctx) == STATUS_DONE

    scenario(GOOD, main)


@pytest.mark.parametrize("unit", range(len(queued())))
def test_error_stops_until_soft_reset(unit):
    async def main(ctx, bench):
        dut = bench.dut
        await bench.start(ctx)
        await ctx.tick().repeat(100)
        assert not ctx.get(dut.abort)
        await pulse_error(ctx, dut.ports[unit].error, ErrorCode.ADDRESS, 0xABCDEF)
        assert ctx.get(dut.abort)
        assert not ctx.get(dut.running)
        assert ctx.get(dut.irq)
        await pulse_error(ctx, dut.ports[0].error, ErrorCode.BUS_READ, 1)
        assert await bench.read(ctx, "status") == STATUS_ERROR
        assert await bench.read(ctx, "error_code") == ErrorCode.ADDRESS
        assert await bench.read(ctx, "error_instruction") == 0xABCDEF
        assert await bench.read(ctx, "irq_pending") == IRQ_ERROR
        await bench.start(ctx)
        assert await bench.read(ctx, "status") == STATUS_ERROR, "a reset is needed first"
        assert ctx.get(dut.abort)

        await bench.write(ctx, "control", CONTROL_RESET)
        held = 0
        while ctx.get(dut.abort):
            await ctx.tick()
            held += 1
        # The response comes as the abort begins.
        assert held == ABORT_CYCLES
        for name in ("status", "error_code", "error_instruction", "irq_pending", *COUNTERS):
            assert await bench.read(ctx, name) == 0, name
        assert not ctx.get(dut.irq)

        bench.beats.clear()
        bench.memory = GOOD
        await bench.start(ctx)
        assert await bench.finish(ctx) == STATUS_DONE
        assert await bench.read(ctx, "instructions") == 2

    scenario(STUCK, main)


def test_soft_reset_of_a_running_core():
    async def main(ctx, bench):
        dut = bench.dut
        await bench.start(ctx)
        await ctx.tick().repeat(30)
        await bench.write(ctx, "control", CONTROL_RESET)
        assert ctx.get(dut.abort)
        assert not ctx.get(dut.running)
        await bench.start(ctx)
        assert not ctx.get(dut.running), "a start during the abort is ignored"
        await ctx.tick().repeat(60)
        assert not bench.started, "late beats are dropped"
        assert await bench.read(ctx, "status") == 0
        await bench.start(ctx)
        assert await bench.finish(ctx) == STATUS_DONE
        assert [s.index for s in bench.started] == [0]

    scenario(GOOD, main)


@pytest.mark.parametrize("failing", [False, True])
def test_a_soft_reset_in_any_cycle_leaves_nothing(failing):
    """Before, in and after the cycle of done, or of an error: status, interrupt, error agree.

    Then a start is taken as soon as the status reads idle, whatever the cycle.
    """
    length = []

    async def whole(ctx, bench):
        await bench.start(ctx)
        ticks = 0
        while not ctx.get(bench.dut.irq):
            await ctx.tick()
            ticks += 1
        length.append(ticks)

    scenario(GOOD, whole)

    def at(delay):
        async def main(ctx, bench):
            dut = bench.dut
            await bench.start(ctx)
            await ctx.tick().repeat(delay)
            if failing:  # the error and the pulse of the reset meet in one of these cycles
                ctx.set(dut.ports[0].error.code, ErrorCode.ADDRESS)
                ctx.set(dut.ports[0].error.valid, 1)
            await bench.write(ctx, "control", CONTROL_RESET)
            ctx.set(dut.ports[0].error.valid, 0)
            while (status := await bench.read(ctx, "status")) == STATUS_BUS_BUSY:
                pass
            assert status == 0, delay
            assert not ctx.get(dut.irq), delay
            for name in ("irq_pending", "error_code", "error_instruction"):
                assert await bench.read(ctx, name) == 0, (name, delay)
            bench.beats.clear()
            await bench.start(ctx)
            assert await bench.finish(ctx) == STATUS_DONE, delay
            assert ctx.get(dut.irq)

        return main

    for delay in range(max(0, length[0] - 12), length[0] + 3):
        scenario(GOOD, at(delay))


@pytest.mark.parametrize("delay", range(1, 3 * ABORT_CYCLES, 2))
def test_a_start_that_follows_an_idle_status_is_taken(delay):
    async def main(ctx, bench):
        await bench.start(ctx)
        await ctx.tick().repeat(30)
        await bench.write(ctx, "control", CONTROL_RESET)
        await ctx.tick().repeat(delay)
        while await bench.read(ctx, "status") != 0:
            pass
        bench.beats.clear()
        await bench.start(ctx)
        assert await bench.finish(ctx) == STATUS_DONE

    scenario(GOOD, main)


def test_reset_wins_over_start():
    async def main(ctx, bench):
        await bench.write(ctx, "control", CONTROL_RESET | CONTROL_START)
        await ctx.tick().repeat(ABORT_CYCLES + 2)
        assert await bench.read(ctx, "status") == 0

    scenario(GOOD, main)


def test_errors_between_runs_are_ignored():
    async def main(ctx, bench):
        await pulse_error(ctx, bench.dut.ports[0].error, ErrorCode.BUS_WRITE, 3)
        assert await bench.read(ctx, "status") == 0
        await bench.start(ctx)
        assert await bench.finish(ctx) == STATUS_DONE
        await pulse_error(ctx, bench.dut.ports[1].error, ErrorCode.ADDRESS, 3)
        assert await bench.read(ctx, "status") == STATUS_DONE

    scenario(GOOD, main)


def test_silent_memory_reaches_the_watchdog():
    async def main(ctx, bench):
        bench.latency = 10**9
        await bench.write(ctx, "watchdog", 60)
        await bench.start(ctx)
        assert await bench.finish(ctx) == STATUS_ERROR
        assert await bench.read(ctx, "error_code") == ErrorCode.WATCHDOG
        assert await bench.read(ctx, "error_instruction") == 0
        assert 60 <= await bench.read(ctx, "cycles") <= 66

    scenario(GOOD, main)


def test_interrupt_only_where_enabled():
    async def main(ctx, bench):
        await bench.write(ctx, "irq_enable", IRQ_ERROR)
        await bench.start(ctx)
        await bench.finish(ctx)
        assert not ctx.get(bench.dut.irq)
        assert await bench.read(ctx, "irq_pending") == IRQ_DONE
        await bench.write(ctx, "irq_enable", IRQ_DONE)
        assert ctx.get(bench.dut.irq)

    scenario(GOOD, main)
