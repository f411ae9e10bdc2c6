"""Proof, for ever: a unit queue loses, repeats and reorders nothing; waits come before starts.

One instruction, any one, is followed from its push to its start. All words, all stalls and all
times of grants are free; k-induction needs one step, because the harness also states in which slot
of the FIFO the followed instruction lies.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Cat, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import Followed, mutant, opened
from sby import Refuted, prove
from weft_hw.control.queue import UnitQueue
from weft_hw.interface import INDEX_BITS, field
from weft_hw.isa import LAYOUTS, SEMAPHORES, WAITS, Opcode

#: Memories as registers, and formulas unrolled: several times faster here.
SOLVER = "--nomem --unroll z3"

#: The header has all the waits; the FIFO carries whatever follows it in the same way.
HEADER_BITS = LAYOUTS[Opcode.END].used_bits


class Harness(wiring.Component):
    """Any pushes, grants and starts; grants only where they are requested, as semaphores do."""

    def __init__(self, depth: int, *, block: type[UnitQueue] = UnitQueue, cover: bool = False):
        self._depth, self._block, self._cover = depth, block, cover
        super().__init__(
            {
                "push": In(1),
                "word": In(HEADER_BITS),
                "index": In(INDEX_BITS),
                "pick": In(1),
                "grant": In(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self._depth
        m.submodules.dut = dut = self._block(depth, word_bits=HEADER_BITS)
        start = dut.o.valid & self.ready
        m.d.comb += [
            dut.i.valid.eq(self.push),
            dut.i.payload.word.eq(self.word),
            dut.i.payload.index.eq(self.index),
            dut.grant.eq(self.grant & dut.request),
            dut.o.ready.eq(self.ready),
        ]
        followed = Followed(
            m, push=self.push & dut.i.ready, payload=dut.i.payload, pop=start, pick=self.pick,
            limit=depth,
        )
        followed.lies_in(opened(dut).submodules.fifo)

        granted = Signal(2)  # and not started
        m.d.sync += granted.eq(granted + dut.grant - start)
        m.d.comb += [
            # Room is refused only by a full queue, and never more than `depth` are inside.
            Assert(followed.inside <= depth),
            Assert(dut.i.ready == (followed.inside != depth)),
            # Waits are taken once before each start, and not before the start ahead is done.
            Assert(granted == dut.o.valid),
            Assert(~(dut.request & dut.o.valid)),
            Assert((followed.inside != 0) | ~(dut.request | dut.o.valid)),
        ]
        with m.If(followed.head):
            with m.If(dut.o.valid):
                m.d.comb += Assert(dut.o.payload.as_value() == followed.value)
            waits = [
                (field(followed.value, Opcode.END, f"wait{i}_enable"),
                 field(followed.value, Opcode.END, f"wait{i}"))
                for i in range(WAITS)
            ]
            with m.If(dut.request):
                for s in range(SEMAPHORES):
                    m.d.comb += Assert(dut.demand[s] == sum(e & (n == s) for e, n in waits))

        # A request and an offer stay, as they are, until they are answered.
        offer, ask = dut.o.payload.as_value(), Cat(dut.demand[s] for s in range(SEMAPHORES))
        asked, offered, idle = Signal(), Signal(), Signal()
        before, demand = Signal.like(offer), Signal.like(ask)
        m.d.sync += [
            asked.eq(dut.request & ~dut.grant),
            offered.eq(dut.o.valid & ~self.ready),
            before.eq(offer),
            demand.eq(ask),
            idle.eq((followed.inside != 0) & ~dut.request & ~dut.o.valid),
        ]
        with m.If(asked):
            m.d.comb += [Assert(dut.request), Assert(demand == ask)]
        with m.If(offered):
            m.d.comb += [Assert(dut.o.valid), Assert(before == offer)]
        # Nothing is stuck: a head is decoded in one cycle, and asks.
        m.d.comb += Assert(~idle | dut.request | dut.o.valid)
        if self._cover:
            starts = Signal(4)
            m.d.sync += starts.eq(starts + start)
            m.d.comb += Cover(
                (starts == depth + 1) & followed.head & dut.o.valid & (followed.inside == depth)
            )
        return m


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_order_and_waits(depth, tmp_path):
    prove(Harness(depth), tmp_path, depth=2, solver=SOLVER)


def test_reachable(tmp_path):
    """The pointers of a full queue have gone round, and the followed instruction is offered."""
    prove(Harness(2, cover=True), tmp_path, mode="cover", depth=18, solver=SOLVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.o.valid.eq(self.grant)", "self.o.valid.eq(1)"),
        ("fifo.w_en.eq(self.i.valid)", "fifo.w_en.eq(self.i.valid & ~self.o.valid)"),
        ("self.demand.eq(demand(head.word))", "self.demand.eq(demand(self.i.payload.word))"),
    ],
)
def test_broken_queues_are_refuted(old, new, tmp_path):
    with pytest.raises(Refuted):
        prove(Harness(2, block=mutant(UnitQueue, old, new)), tmp_path, mode="bmc", depth=10)
