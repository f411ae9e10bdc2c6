"""Proofs: loop nests visit every index in order, and addresses are affine in them."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from weft_hw.compute.nest import AddressGenerator, LoopNest
from weft_hw.isa import LOOP_LEVELS

from .sby import ProofError, prove

WIDTH = 6
#: Levels that iterate in the proof; the others have one iteration. All levels are built alike.
MOVING = 3


class Harness(wiring.Component):
    """A nest with counts 1..3 on some levels, any strides, stepped at any time, and its indices.

    `broken` gives one level a wrong jump, which the proof has to find.
    """

    def __init__(self, *, broken: bool = False, cover: bool = False):
        self._broken, self._cover = broken, cover
        super().__init__(
            {
                "counts": In(2).array(LOOP_LEVELS),
                "strides": In(signed(WIDTH)).array(LOOP_LEVELS),
                "base": In(WIDTH),
                "step": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.nest = nest = LoopNest()
        m.submodules.address = address = AddressGenerator(WIDTH, WIDTH, tuple(range(LOOP_LEVELS)))
        first = Signal(init=1)
        m.d.sync += first.eq(0)
        free = Cat(*self.counts, *self.strides, self.base)
        held = Signal(len(free))
        m.d.sync += held.eq(free)
        with m.If(~first):
            m.d.comb += Assume(held == free)
        for i, count in enumerate(self.counts):
            m.d.comb += Assume(count != 0 if i < MOVING else count == 1)

        go = self.step & ~first & ~nest.last
        m.d.comb += [
            nest.load.eq(first), nest.step.eq(go), address.load.eq(first), address.step.eq(go),
            address.base.eq(self.base), address.level.eq(nest.level),
        ]
        index = [Signal(2, name=f"index{i}") for i in range(LOOP_LEVELS)]
        carry = go
        for i in range(LOOP_LEVELS):
            m.d.comb += nest.counts[i].eq(self.counts[i])
            below = sum((self.counts[j] - 1) * self.strides[j] for j in range(i))
            wrong = 1 if self._broken and i == 1 else 0
            m.d.comb += address.jumps[i].eq(self.strides[i] - below + wrong)
            at_end = index[i] == self.counts[i] - 1
            with m.If(carry):
                m.d.sync += index[i].eq(index[i] + 1)
                with m.If(at_end):
                    m.d.sync += index[i].eq(0)
            with m.If(~first):
                m.d.comb += [
                    Assert(nest.start[i] == (index[i] == 0)),
                    Assert(nest.end[i] == at_end),
                ]
            carry = carry & at_end
        want = Signal(WIDTH)
        m.d.comb += want.eq(
            self.base + sum(index[i] * self.strides[i] for i in range(LOOP_LEVELS))
        )
        with m.If(~first):
            m.d.comb += Assert(address.address == want)
            if self._cover:
                m.d.comb += Cover(nest.last & (index[0] == 2) & (index[2] == 2))
        return m


def test_nest_and_addresses(tmp_path):
    prove(Harness(), tmp_path, mode="bmc", depth=10, solver="--unroll z3")


def test_all_iterations_are_reached(tmp_path):
    prove(Harness(cover=True), tmp_path, mode="cover", depth=16)


def test_a_wrong_jump_is_found(tmp_path):
    with pytest.raises(ProofError):
        prove(Harness(broken=True), tmp_path, mode="bmc", depth=8)
