"""Proof: a unit queue loses, repeats and reorders nothing, and grants come before starts."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from weft_hw.control.queue import UnitQueue
from weft_hw.isa import LAYOUTS, Opcode

from .sby import prove

#: Memories as registers, and formulas unrolled: several times faster here.
SOLVER = "--nomem --unroll z3"

DEPTH = 2
HEADER_BITS = LAYOUTS[Opcode.END].used_bits
#: Instructions are numbered modulo this many; more than the queue can hold.
NUMBERS = 8


class Harness(wiring.Component):
    """The n-th push carries index n; the n-th start has to carry it too.

    The word is a header with one wait, and nothing else, which the solver can keep in mind.
    """

    def __init__(self, *, cover: bool = False):
        self._cover = cover
        super().__init__({"push": In(1), "grant": In(1), "ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = UnitQueue(DEPTH, word_bits=HEADER_BITS)
        pushed, started, granted = (Signal(range(NUMBERS), name=n) for n in ("p", "s", "g"))
        word = 0x02 | 0b1_0011 << 8
        m.d.comb += [
            dut.i.valid.eq(self.push),
            dut.i.payload.word.eq(word),
            dut.i.payload.index.eq(pushed),
            dut.grant.eq(self.grant & dut.request),
            dut.o.ready.eq(self.ready),
        ]
        start = dut.o.valid & self.ready
        m.d.sync += [
            pushed.eq(pushed + (self.push & dut.i.ready)),
            started.eq(started + start),
            granted.eq(granted + dut.grant),
        ]
        held = (pushed - started)[: len(pushed)]
        taken = (granted - started)[: len(pushed)]
        m.d.comb += [
            # No loss: room is refused only by a full queue, and never more than DEPTH are inside.
            Assert(held <= DEPTH),
            Assert(dut.i.ready == (held != DEPTH)),
            # Exactly one grant before each start, for its own demand.
            Assert(taken == dut.o.valid),
        ]
        with m.If(dut.request):
            m.d.comb += Assert(held != 0)
            for s in range(16):
                m.d.comb += Assert(dut.demand[s] == (1 if s == 9 else 0))
        with m.If(dut.o.valid):
            m.d.comb += [
                Assert(dut.o.payload.index == started),
                Assert(dut.o.payload.word == word),
            ]
        if self._cover:
            m.d.comb += Cover((started == 3) & (held == DEPTH))
        return m


@pytest.mark.slow
def test_order_and_loss(tmp_path):
    """For 14 cycles from reset: every pointer of the queue goes round twice."""
    prove(Harness(), tmp_path, mode="bmc", depth=14, solver=SOLVER)


def test_reachable(tmp_path):
    prove(Harness(cover=True), tmp_path, mode="cover", depth=18, solver=SOLVER)
