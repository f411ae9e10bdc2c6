"""Requantise lane against its formula in Python integers."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from weft_hw.compute.requantise import Requantise
from weft_hw.numerics import (
    ACC_MAX,
    ACC_MIN,
    MULTIPLIER_MAX,
    PRE_MAX,
    RESIDUAL_SHIFT,
    SHIFT_MAX,
    SHIFT_MIN,
)


def model(acc, mult, shift, residual=0, *, pre, zero_point, low, high, residual_multiplier=0):
    a = max(-(2**24), min(2**24 - 1, acc >> pre))
    added = (residual << RESIDUAL_SHIFT) * residual_multiplier
    y = zero_point + ((a * mult + added + (1 << shift >> 1)) >> shift)
    return min(max(y, low), high)


@pytest.mark.parametrize("residuals", [False, True], ids=["alone", "residuals"])
@pytest.mark.parametrize("seed", range(5))
def test_requantise_every_cycle(seed, residuals):
    """One value a cycle, LATENCY cycles deep, edges of every operand included; with a residual
    before every second."""
    rng = random.Random(seed)
    setup = {
        "pre": rng.randint(0, PRE_MAX),
        "zero_point": rng.choice([-128, 0, 5, 127, -(2**15), 2**15 - 1]),
        "low": rng.choice([-128, -(2**15), 0]),
        "high": rng.choice([127, 2**15 - 1, 6]),
        "residual_multiplier": rng.choice([0, 1, MULTIPLIER_MAX, rng.randint(0, MULTIPLIER_MAX)]),
    }
    if seed == 4:  # crossed bounds: every result is the upper one
        setup |= {"low": 50, "high": -20, "zero_point": 5}
    accs = [ACC_MIN, ACC_MAX, 0, -1, 1, 2**24 - 1, 2**24, -(2**24), -(2**24) - 1]
    items = [
        (
            rng.choice([*accs, *(rng.randint(ACC_MIN, ACC_MAX) >> rng.randint(0, 31),) * 20]),
            rng.choice([0, 1, MULTIPLIER_MAX, rng.randint(0, MULTIPLIER_MAX)]),
            rng.choice([0, SHIFT_MIN, SHIFT_MAX, rng.randint(SHIFT_MIN, SHIFT_MAX)]),
            rng.choice([-255, 255, 0, rng.randint(-255, 255)]) if residuals and n % 2 else 0,
        )
        for n in range(1500)
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
                ctx.set(dut.residual_shift, items[n][2])
            if residuals:
                ctx.set(dut.residual_en, (n + 1) % 2)
                ctx.set(dut.residual, items[n + 1][3] if n + 1 < len(items) else 0)
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
    step = 2 if residuals else 1
    want = [model(*item, **setup) for item in items]
    assert got[step - 1 : len(want) : step] == want[step - 1 :: step]


def test_hand_worked():
    """(100 * 3 + 4) >> 3 = 38, plus 2; half rounds up: (1 * 1 + 1) >> 1 = 1, (-1 + 1) >> 1 = 0."""
    setup = {"pre": 0, "zero_point": 0, "low": -128, "high": 127}
    assert model(100, 3, 3, **setup | {"zero_point": 2}) == 40
    assert model(1, 1, 1, **setup) == 1
    assert model(-1, 1, 1, **setup) == 0
    # (100 * 3 + (2 * 3 << 12) + 2**11) >> 12 = 6
    assert model(100, 3, 12, 2, **setup, residual_multiplier=3) == 6
