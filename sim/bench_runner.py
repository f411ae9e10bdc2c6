"""Coroutines that show what the runner does with passing, failing and hanging benches."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import ClockCycles

from runner import parameters, start


@cocotb.test()
async def counts(dut):
    """One hundred cycles after reset the counter is as the clock says."""
    await start(dut)
    before = int(dut.value.value)
    await ClockCycles(dut.clk, 100)
    assert int(dut.value.value) == before + 100


@cocotb.test()
async def draws(dut):
    """The seed decides what random gives."""
    await start(dut)
    cocotb.log.info("drew %d", random.getrandbits(32))


@cocotb.test()
async def fails_on_request(dut):
    """Fails where the test says so."""
    await start(dut)
    assert not parameters().get("fail"), "asked to fail"
