"""Proofs: semaphores never go below zero or above the maximum, and waits are taken whole."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from weft_hw.control.semaphores import DemandLayout, Semaphores
from weft_hw.interface import POST_BITS
from weft_hw.isa import POSTS, SEMAPHORE_MAX

from .sby import prove

#: Memories as registers, and formulas unrolled: several times faster here.
SOLVER = "--nomem --unroll z3"

UNITS = 3


class Harness(wiring.Component):
    """Watch one semaphore, `which`, whose number is any constant; keep a reference count of it."""

    def __init__(self, *, cover: bool = False):
        self._cover = cover
        super().__init__(
            {
                "which": In(4),
                "request": In(UNITS),
                "demand": In(DemandLayout.size).array(UNITS),
                "retire": In(UNITS),
                "posts": In(POST_BITS).array(UNITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = Semaphores()
        which, first = Signal(4), Signal(init=1)
        m.d.sync += [first.eq(0), which.eq(self.which)]
        with m.If(~first):
            m.d.comb += Assume(self.which == which)

        grants = Cat(dut.grant)
        posted = []
        for u in range(UNITS):
            m.d.comb += [
                dut.request[u].eq(self.request[u]),
                dut.demand[u].eq(self.demand[u]),
                dut.retire[u].valid.eq(self.retire[u]),
                dut.retire[u].posts.eq(self.posts[u]),
            ]
            for i in range(POSTS):
                raw = self.posts[u][5 * i : 5 * i + 5]
                posted.append(self.retire[u] & raw[0] & (raw[1:] == self.which))

        # The definition, for the watched semaphore alone: takes and posts count a cycle later, and
        # the cycle after a grant has none.
        count = Signal(range(SEMAPHORE_MAX + 1))
        granted = Signal()
        taking, raising = Signal(2), Signal(range(UNITS * POSTS + 1))
        wanted = [self.demand[u].word_select(self.which, 2) for u in range(UNITS)]
        taken, raised = Signal(2), Signal(range(UNITS * POSTS + 1))
        total = Signal(8)
        for u in range(UNITS):
            with m.If(grants[u]):
                m.d.comb += taken.eq(wanted[u])
                # A wait is granted only to a request, and only where the count holds all of it.
                m.d.comb += Assert(self.request[u])
                m.d.comb += Assert(count >= wanted[u])
                m.d.comb += Assert(~granted)
        m.d.comb += [
            raised.eq(sum(posted)),
            total.eq(count - taking + raising),
            # One grant per cycle: two units cannot take the same count.
            Assert((grants & (grants - 1)[:UNITS]) == 0),
            Assert(count >= taking),
        ]
        m.d.sync += [
            granted.eq(grants.any()),
            taking.eq(taken),
            raising.eq(raised),
            count.eq(Mux(total > SEMAPHORE_MAX, SEMAPHORE_MAX, total)),
        ]

        # The counter is the reference count, and an overflow of it is always reported.
        counts = Cat(dut.counts)
        m.d.comb += Assert(counts.word_select(self.which, len(dut.counts[0])) == count)
        over, reported = Signal(), Signal()
        m.d.sync += [over.eq(total > SEMAPHORE_MAX), reported.eq(over)]
        with m.If(reported):
            m.d.comb += Assert(dut.overflow)

        # Nothing is kept waiting: without a grant now or just before, the counters satisfy no
        # request.
        m.d.comb += Assert(grants.any() | granted | (self.request == Cat(dut.waiting)))
        if self._cover:
            m.d.comb += Cover(grants[2] & (taken == 3))
        return m


@pytest.mark.slow
def test_counts(tmp_path):
    prove(Harness(), tmp_path, depth=4, solver=SOLVER)


def test_reachable(tmp_path):
    """The assumptions leave room: a triple wait of the last unit is granted."""
    prove(Harness(cover=True), tmp_path, mode="cover", depth=4, solver=SOLVER)
