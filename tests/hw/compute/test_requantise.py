"""Requantise lane against its formula in Python integers."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from weft_hw.compute.requantise import Requantise
from weft_hw.numerics import ACC_MAX, ACC_MIN, MULTIPLIER_MAX, PRE_MAX, SHIFT_MAX, SHIFT_MIN


def model(acc, mult, shift, pre, zero_point, low, high):
    a = max(-(2**24), min(2**24 - 1, acc >> pre))
    y = zero_point + ((a * mult + (1 << shift >> 1)) >> shift)
    return min(max(y, low), high)


@pytest.mark.parametrize("seed", range(5))
def test_requantise_every_cycle(seed):
    """One value a cycle, LATENCY cycles deep, edges of every operand included."""
    rng = random.Random(seed)
    setup = {
        "pre": rng.randint(0, PRE_MAX),
        "zero_point": rng.choice([-128, 0, 5, 127, -(2**15), 2**15 - 1]),
        "low": rng.choice([-128, -(2**15), 0]),
        "high": rng.choice([127, 2**15 - 1, 6]),
    }
    if seed == 4:  # crossed bounds: every result is the upper one
        setup |= {"low": 50, "high": -20, "zero_point": 5}
    accs = [ACC_MIN, ACC_MAX, 0, -1, 1, 2**24 - 1, 2**24, -(2**24), -(2**24) - 1]
    items = [
        (
            rng.choice([*accs, *(rng.randint(ACC_MIN, ACC_MAX) >> rng.randint(0, 31),) * 20]),
            rng.choice([0, 1, MULTIPLIER_MAX, rng.randint(0, MULTIPLIER_MAX)]),
            rng.choice([0, SHIFT_MIN, SHIFT_MAX, rng.randint(SHIFT_MIN, SHIFT_MAX)]),
        )
        for _ in range(1500)
    ]
    dut = Requantise()
    got = []

    async def bench(ctx):
        for name, value in setup.items():
            ctx.set(getattr(dut.setup, name), value)
        for n in range(len(items) + Requantise.LATENCY):
            # The parameters belong to the value of the cycle before.
            if n < len(items):
                ctx.set(dut.acc, items[n][0])
            if 0 < n <= len(items):
                ctx.set(dut.multiplier, items[n - 1][1])
                ctx.set(dut.shift, items[n - 1][2])
            await ctx.tick()
            if n >= Requantise.LATENCY - 1:
                got.append(ctx.get(dut.result))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    want = [model(*item, **setup) for item in items]
    assert got[: len(want)] == want


def test_hand_worked():
    """(100 * 3 + 4) >> 3 = 38, plus 2; half rounds up: (1 * 1 + 1) >> 1 = 1, (-1 + 1) >> 1 = 0."""
    assert model(100, 3, 3, 0, 2, -128, 127) == 40
    assert model(1, 1, 1, 0, 0, -128, 127) == 1
    assert model(-1, 1, 1, 0, 0, -128, 127) == 0
