"""Proofs, for ever: queue and two-entry buffer keep everything in order; the choice is fair.

One entry, any one, is followed from input to output. Payloads have few bits: no block looks at
them, and the proof of one bit is that of all. Depth 2 is left out, whose memory of one word has no
address, which yosys refuses; the smallest queue of the presets has 4 entries.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, C, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import Followed, mutant, opened
from sby import Refuted, prove
from weft_hw.dma.flow import Queue, RoundRobin, Skid

SOLVER = "--nomem --unroll z3"
BITS = 4


class StreamHarness(wiring.Component):
    """A block with one input and one output stream, any producer, any consumer."""

    def __init__(self, block, limit: int, *, cover: bool = False):
        self._block, self._limit, self._cover = block, limit, cover
        super().__init__({"valid": In(1), "payload": In(BITS), "pick": In(1), "ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._block
        inside = opened(dut)
        m.d.comb += [
            dut.i.valid.eq(self.valid), dut.i.payload.eq(self.payload), dut.o.ready.eq(self.ready)
        ]
        pop = dut.o.valid & self.ready
        followed = Followed(
            m, push=self.valid & dut.i.ready, payload=self.payload, pop=pop, pick=self.pick,
            limit=self._limit,
        )
        held, before, waits = Signal(), Signal(BITS), Signal()
        m.d.sync += [held.eq(dut.o.valid & ~self.ready), before.eq(dut.o.payload)]
        m.d.sync += waits.eq((followed.inside != 0) & ~dut.o.valid)
        m.d.comb += [
            Assert(followed.inside <= self._limit),
            Assert(~dut.o.valid | (followed.inside != 0)),
            # A full block may refuse; one with two free places does not.
            Assert(dut.i.ready | (followed.inside >= self._limit - 1)),
            Assert(~held | (dut.o.valid & (before == dut.o.payload))),
            # Nothing is stuck: what is inside comes out within two cycles.
            Assert(~waits | dut.o.valid),
        ]
        with m.If(followed.head & dut.o.valid):
            m.d.comb += Assert(dut.o.payload == followed.value)
        self.locate(m, dut, inside, followed)
        if self._cover:
            pops = Signal(4)
            m.d.sync += pops.eq(pops + pop)
            m.d.comb += Cover(
                (pops == self._limit + 1) & ~dut.i.ready
                & followed.following & (followed.ahead != 0)
            )
        return m

    def locate(self, m, dut, inside, followed):
        raise NotImplementedError


class QueueHarness(StreamHarness):
    def locate(self, m, dut, inside, followed):
        followed.lies_in(inside.submodules.fifo)


class SkidHarness(StreamHarness):
    def locate(self, m, dut, inside, followed):
        m.d.comb += [
            Assert(followed.inside == dut.o.valid + ~dut.i.ready),
            Assert(dut.o.valid | dut.i.ready),
            Assert(dut.i.ready == (followed.inside != 2)),
        ]
        with m.If(followed.following):
            m.d.comb += Assert(followed.ahead < followed.inside)
            with m.If(followed.ahead == 1):
                m.d.comb += Assert(inside.names["back"] == followed.value)


class ChoiceHarness(wiring.Component):
    """Any requests, withdrawn or not, and any turns."""

    def __init__(self, n: int, *, block: type[RoundRobin] = RoundRobin, cover: bool = False):
        self._n, self._block, self._cover = n, block, cover
        super().__init__({"requests": In(n), "accept": In(1)})

    def elaborate(self, platform):
        m = Module()
        n = self._n
        m.submodules.dut = dut = self._block(n)
        after = opened(dut).names["after"]
        m.d.comb += [
            dut.requests.eq(self.requests),
            dut.accept.eq(self.accept),
            Assert((dut.grant & (dut.grant - 1)[:n]) == 0),
            Assert((dut.grant & ~self.requests) == 0),
            Assert((dut.grant != 0) == (self.requests != 0)),
            # `after` has the numbers above the one granted last.
            Assert(~after[0]),
        ]
        for j in range(1, n - 1):
            m.d.comb += Assert(~after[j] | after[j + 1])
        for who in range(n):
            # Turns that others had since `who` asked without a pause.
            lost = Signal(range(n + 1), name=f"lost{who}")
            turn = self.accept & (self.requests != 0)
            with m.If(~self.requests[who] | (turn & dut.grant[who])):
                m.d.sync += lost.eq(0)
            with m.Elif(turn):
                m.d.sync += lost.eq(lost + 1)
            # Others that may come before it: from the one granted last up to `who`, in a circle.
            between = Signal(range(n), name=f"between{who}")
            m.d.comb += [
                between.eq(
                    Mux(
                        after[who],
                        sum((after[j] for j in range(who)), C(0, 1)),
                        who + sum(after[j] for j in range(n)),
                    )
                ),
                # Granted in the n-th turn at the latest.
                Assert(lost + between <= n - 1),
            ]
            if self._cover:
                m.d.comb += Cover((lost == n - 1) & dut.grant[who])
        return m


@pytest.mark.parametrize("depth", [3, 4])
def test_queue(depth, tmp_path):
    prove(QueueHarness(Queue(BITS, depth=depth), depth), tmp_path, depth=2, solver=SOLVER)


def test_skid(tmp_path):
    prove(SkidHarness(Skid(BITS), 2), tmp_path, depth=2, solver=SOLVER)


@pytest.mark.parametrize("n", [2, 4])
def test_choice(n, tmp_path):
    prove(ChoiceHarness(n), tmp_path, depth=2, solver=SOLVER)


def test_reachable(tmp_path):
    """A full queue, a full buffer, and each requester as the last one in turn."""
    for n, harness in enumerate(
        (
            QueueHarness(Queue(BITS, depth=3), 3, cover=True),
            SkidHarness(Skid(BITS), 2, cover=True),
            ChoiceHarness(4, cover=True),
        )
    ):
        (tmp_path / str(n)).mkdir()
        prove(harness, tmp_path / str(n), mode="cover", depth=12, solver=SOLVER)


@pytest.mark.parametrize(
    ("block", "old", "new"),
    [
        (Queue, "queue.w_en.eq(self.i.valid)", "queue.w_en.eq(self.i.valid & ~queue.r_en)"),
        (Skid, "Mux(back_valid, Value", "Mux(self.i.valid, Value"),
        (RoundRobin, "self.requests & after", "self.requests & ~after"),
    ],
)
def test_broken_parts_are_refuted(block, old, new, tmp_path):
    broken = mutant(block, old, new)
    harness = {
        Queue: lambda: QueueHarness(broken(BITS, depth=3), 3),
        Skid: lambda: SkidHarness(broken(BITS), 2),
        RoundRobin: lambda: ChoiceHarness(4, block=broken),
    }[block]()
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=8, solver=SOLVER)
