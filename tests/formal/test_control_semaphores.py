"""Proofs, for ever: counts keep their bounds, waits are taken whole, and overflows are reported.

Requests, demands and posts are free in every cycle. One semaphore, `which`, any of the 16, has a
reference count, from which nothing may be taken that is not there, and which tells an overflow. The
choice among units, and which of them is named for an overflow, are stated on all 16 at once.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant, opened
from sby import Refuted, prove
from weft_hw.control import semaphores
from weft_hw.control.semaphores import DemandLayout, Semaphores
from weft_hw.interface import POST_BITS
from weft_hw.isa import POSTS, SEMAPHORES

#: Memories as registers, and formulas unrolled: several times faster here.
SOLVER = "--nomem --unroll z3"

UNITS = 3
NUMBERS = range(SEMAPHORES)
#: Cycles from a post to a grant that it allows.
LATENCY = Semaphores.LATENCY
#: A maximum that is reached in two cycles, for traces that begin at the start.
SMALL_MAX = 7


def delayed(m: Module, value: Value, cycles: int) -> Value:
    """`value` of so many cycles ago, zero at first."""
    for _ in range(cycles):
        before = Signal(len(value))
        m.d.sync += before.eq(value)
        value = before
    return value


class Harness(wiring.Component):
    """Any requests and posts."""

    def __init__(self, *, block: type[Semaphores] = Semaphores, cover: bool = False):
        self._block, self._cover, self._maximum = block, cover, semaphores.SEMAPHORE_MAX
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
        m.submodules.dut = dut = self._block()
        self.inside = opened(dut)
        for u in range(UNITS):
            m.d.comb += [
                dut.request[u].eq(self.request[u]),
                dut.demand[u].eq(self.demand[u]),
                dut.retire[u].valid.eq(self.retire[u]),
                dut.retire[u].posts.eq(self.posts[u]),
            ]
        grants = Signal(UNITS)
        m.d.comb += grants.eq(Cat(dut.grant))
        self.state(m, dut, grants)
        return m

    def state(self, m, dut, grants):
        """The properties."""
        raise NotImplementedError

    def posted(self, u, s):
        """Posts of unit `u` to semaphore `s` in this cycle, a flag each."""
        raw = [self.posts[u][5 * i : 5 * i + 5] for i in range(POSTS)]
        return [self.retire[u] & post[0] & (post[1:] == s) for post in raw]


class CountHarness(Harness):
    """The definition of a count, for the watched semaphore alone."""

    def state(self, m, dut, grants):
        which, first = Signal(4), Signal(init=1)
        m.d.sync += [first.eq(0), which.eq(self.which)]
        m.d.comb += Assume(first | (self.which == which))
        count = Signal(range(self._maximum + 1))
        taken, total = Signal(2), Signal(8)
        for u in range(UNITS):
            wanted = self.demand[u].word_select(self.which, 2)
            with m.If(grants[u]):
                # A wait is granted only to a request, and only where the count holds all of it.
                m.d.comb += [
                    taken.eq(wanted), Assert(self.request[u]), Assert(count >= wanted)
                ]
        posted = [flag for u in range(UNITS) for flag in self.posted(u, self.which)]
        m.d.comb += [
            total.eq(count - taken + sum(posted)),
            # One grant per cycle: two units cannot take the same count.
            Assert((grants & (grants - 1)[:UNITS]) == 0),
        ]
        m.d.sync += count.eq(Mux(total > self._maximum, self._maximum, total))
        # The counter is the reference count, later by what a post needs beyond one cycle.
        counter = Cat(dut.counts).word_select(self.which, len(dut.counts[0]))
        m.d.comb += Assert(counter == delayed(m, count, LATENCY - 1))
        # It has overflowed if and only if this is to be reported, and some unit has posted then.
        over, raised = Signal(), Signal()
        m.d.comb += [over.eq(total > self._maximum), raised.eq(Cat(posted).any())]
        reported = self.inside.names["over_held"].bit_select(self.which, 1)
        m.d.comb += [
            Assert(reported == delayed(m, over, LATENCY)),
            Assert(~reported | delayed(m, raised, LATENCY)),
        ]
        if self._cover:
            m.d.comb += Cover(grants[2] & (taken == 3))


class ChoiceHarness(Harness):
    """The first unit whose demand the counters hold; nobody waits but for a cause."""

    def state(self, m, dut, grants):
        satisfied = Signal(UNITS)
        for u in range(UNITS):
            holds = Cat(dut.counts[s] >= self.demand[u].word_select(s, 2) for s in NUMBERS)
            m.d.comb += [
                satisfied[u].eq(self.request[u] & holds.all()),
                Assert(dut.waiting[u] == (self.request[u] & ~satisfied[u])),
            ]
        # After a grant, counters that are behind are waited for.
        settling = Cat(delayed(m, grants, n) for n in range(1, LATENCY)).any()
        first = satisfied & (~satisfied + 1)[:UNITS]
        m.d.comb += Assert(grants == Mux(settling, 0, first))
        if self._cover:
            m.d.comb += Cover((satisfied == 0b101) & (grants == 1) & dut.waiting[1])


class OverflowHarness(Harness):
    """An overflow is reported, and nothing else; the report names a unit that posted there.

    `over_held` has a bit for each semaphore that overflowed; that it is right is proved with the
    count, :class:`CountHarness`.
    """

    def state(self, m, dut, grants):
        over = delayed(m, self.inside.names["over_held"], LATENCY - 1)
        guilty = Signal(UNITS)
        for u in range(UNITS):
            posted = Cat(Cat(self.posted(u, s)).any() for s in NUMBERS)
            m.d.comb += guilty[u].eq((over & delayed(m, posted, 2 * LATENCY - 1)).any())
        m.d.comb += Assert(dut.overflow == over.any())
        with m.If(guilty.any()):
            # Of several, the first.
            m.d.comb += [
                Assert(dut.overflow),
                Assert(1 << dut.overflow_unit == (guilty & (~guilty + 1)[:UNITS])),
            ]
        if self._cover:
            m.d.comb += [
                Assume(self.request == 0),  # a shorter search
                Cover(dut.overflow & (dut.overflow_unit == 2)),
                Cover(dut.overflow & (dut.overflow_unit == 0) & (guilty == 0b101)),
            ]


HARNESSES = [CountHarness, ChoiceHarness, OverflowHarness]


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.__name__)
def test_semaphores(harness, tmp_path):
    prove(harness(), tmp_path, depth=2 * LATENCY, solver=SOLVER)


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.__name__)
def test_reachable(harness, tmp_path, monkeypatch):
    """A triple wait of the last unit; a choice; overflows by the last unit, and by two."""
    monkeypatch.setattr(semaphores, "SEMAPHORE_MAX", SMALL_MAX)
    prove(harness(cover=True), tmp_path, mode="cover", depth=4 + 2 * LATENCY, solver=SOLVER)


@pytest.mark.parametrize(
    ("harness", "old", "new"),
    [
        (CountHarness, "counts[s].eq(Mux(over[s], SEMAPHORE_MAX, total))", "counts[s].eq(total)"),
        (ChoiceHarness, "self.waiting[u].eq(self.request[u] & ~enough)", "self.waiting[u].eq(0)"),
        (CountHarness, "eq(total > SEMAPHORE_MAX)", "eq(total >= SEMAPHORE_MAX)"),
        (OverflowHarness, "for u in reversed(units)", "for u in units"),
    ],
)
def test_broken_semaphores_are_refuted(harness, old, new, tmp_path, monkeypatch):
    monkeypatch.setattr(semaphores, "SEMAPHORE_MAX", SMALL_MAX)
    broken = harness(block=mutant(Semaphores, old, new, SEMAPHORE_MAX=SMALL_MAX))
    with pytest.raises(Refuted):
        prove(broken, tmp_path, mode="bmc", depth=4 + 2 * LATENCY, solver=SOLVER)
