"""Packed cells: every product, and columns that equal the portable ones cycle by cycle."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.sim import Simulator

from weft_hw.compute import packed
from weft_hw.compute.array import REGION_ROWS, ColumnPair, psum_bits
from weft_hw.compute.dsp import DspCell
from weft_hw.compute.packed import PackedColumnPair
from weft_hw.config import preset
from weft_hw.target import TARGETS, check_target

PACKINGS = {name: packing for name, packing in TARGETS.items() if packing}


def fields(total, packing):
    """The two sums in the output of a cascade whose head added half of the lower field."""
    low = (total & ((1 << packing.shift) - 1)) - (1 << (packing.shift - 1))
    high = total >> packing.shift
    return low, high


@pytest.mark.parametrize("target", PACKINGS)
def test_every_pair_of_products(target):
    packing = PACKINGS[target]
    weights = np.arange(-127, 128)
    low, high = (w.astype(np.int64) for w in np.meshgrid(weights, weights))
    operand = (high << packing.shift) + low
    limit = 1 << (packing.operand_bits - 1)
    assert operand.min() >= -limit and operand.max() < limit
    # what the column's chain holds: w0 in a byte, w1 - (w0 < 0) in the other
    chain = high - (low < 0)
    assert chain.min() >= -128 and chain.max() <= 127
    assert np.array_equal((chain << packing.shift) + (low & ((1 << packing.shift) - 1)), operand)
    for act in range(-128, 128):
        got = fields(operand * act + (1 << (packing.shift - 1)), packing)
        assert np.array_equal(got[0], low * act) and np.array_equal(got[1], high * act)


@pytest.mark.parametrize("target", PACKINGS)
def test_extreme_sums_of_a_cascade(target):
    packing = PACKINGS[target]
    for low in (-127, 127):
        for high in (-127, 127):
            for act in (-128, 127):
                product = ((high << packing.shift) + low) * act * packing.cascade
                want = low * act * packing.cascade, high * act * packing.cascade
                assert fields(product + (1 << (packing.shift - 1)), packing) == want
                assert -(1 << (packing.shift - 1)) <= want[1] < 1 << (packing.shift - 1)


def test_an_unknown_target_is_a_sentence():
    with pytest.raises(ValueError, match="unknown target 'xc9'; the targets are portable, xc7, xc"):
        check_target("xc9")


class Cell(wiring.Component):
    """What a :class:`DspCell` does, without the primitive."""

    def __init__(self, packing, head):
        self.half = 1 << (packing.shift - 1) if head else None
        super().__init__(DspCell(packing, head).signature)

    def elaborate(self, platform):
        m = Module()
        a1, a2 = Signal(signed(27)), Signal(signed(27))
        b, product = Signal(signed(8)), Signal(signed(45))
        above = self.above if self.half is None else self.half
        m.d.sync += [
            a1.eq(Mux(self.copy, self.weight, a1)),
            a2.eq(Mux(self.swap, a1, a2)),
            b.eq(self.act),
            product.eq(a2 * b),
            self.total.eq(above + product),
        ]
        m.d.comb += self.sum.eq(self.total)
        return m


@pytest.mark.parametrize("target", PACKINGS)
@pytest.mark.parametrize("name", ["tiny", "tiny-wide", "pynq-z2", "kv260"])
def test_a_column_equals_the_portable_one(monkeypatch, name, target):
    """Shifts, copies and swaps at random, far beyond what the sequencer does."""
    monkeypatch.setattr(packed, "DspCell", Cell)
    config = preset(name)
    m = Module()
    m.submodules.portable = portable = ColumnPair(config)
    m.submodules.packed = dut = PackedColumnPair(
        config, PACKINGS[target], psum_bits(config), REGION_ROWS
    )
    rows, segments = config.rows, config.weight_rows_per_cycle
    rng = np.random.default_rng(len(name))
    cycles = 8 * rows + 200

    async def bench(ctx):
        last = None
        for t in range(cycles):
            extreme = (t // 32) % 3 == 2
            act = rng.choice([-128, 127], rows) if extreme else rng.integers(-128, 128, rows)
            weight = (
                rng.choice([-127, 127], 2 * segments)
                if extreme
                else rng.integers(-127, 128, 2 * segments)
            )
            control = {
                "shift": int(rng.integers(0, 1 << rows // REGION_ROWS)),
                "copy": int(rng.integers(0, 1 << rows // REGION_ROWS)),
                "swap": int.from_bytes(rng.bytes(rows // 8), "little"),
            }
            for pair in (portable, dut):
                ctx.set(pair.act, [int(a) for a in act])
                ctx.set(pair.weight, [int(w) & 255 for w in weight])
                for port, value in control.items():
                    ctx.set(getattr(pair, port), value)
            await ctx.tick()
            got = [int(ctx.get(dut.psum[j])) for j in range(2)]
            # until every register has been filled the two forms may hold different rests
            if t > 2 * rows + 8:
                assert got == last, f"cycle {t}"
            last = [int(ctx.get(portable.psum[j])) for j in range(2)]
            assert ctx.get(dut.act_next.as_value()) == ctx.get(portable.act_next.as_value())
            assert ctx.get(dut.swap_next) == ctx.get(portable.swap_next)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
