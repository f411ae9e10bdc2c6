"""Counting semaphores: waits taken atomically, posts from all units in the same cycle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..interface import POST_BITS, Retire, field
from ..isa import POSTS, SEMAPHORE_MAX, SEMAPHORES, UNITS, WAITS, Opcode, UnitSpec, queued

__all__ = ["DemandLayout", "Semaphores", "demand"]

#: How many an instruction takes from each semaphore.
DemandLayout = data.ArrayLayout(WAITS.bit_length(), SEMAPHORES)


def _ones(bits: list[Value]) -> Value:
    """How many of `bits` are high: full adders in LUTs, as a carry chain is longer than them."""
    columns = [list(bits)]
    for column in columns:
        carries: list[Value] = []
        while len(column) > 1:
            a, b, *rest = column
            c = rest[0] if rest else Const(0, 1)
            column[:] = [*rest[1:], a ^ b ^ c]
            carries.append((a & b) | (a & c) | (b & c))
        if carries:
            columns.append(carries)
    return Cat(column[0] for column in columns)[: len(bits).bit_length()]


def _tally(pairs: list[tuple[Value, Value]]) -> list[Value]:
    """Per semaphore, how many of the (enable, number) pairs name it."""
    return [
        _ones([enable & (number == s) for enable, number in pairs]) for s in range(SEMAPHORES)
    ]


def demand(word: ValueLike) -> Value:
    """The demand, as :data:`DemandLayout`, of the waits of an instruction word.

    A semaphore that is named by two waits is taken twice.
    """

    def get(name: str) -> Value:
        return field(word, Opcode.END, name)

    counts = _tally([(get(f"wait{i}_enable"), get(f"wait{i}")) for i in range(WAITS)])
    return Cat(counts)


def _posts(raw: Value) -> list[tuple[Value, Value]]:
    """(enable, number) of each post field of a :class:`Retire`."""
    step = POST_BITS // POSTS
    return [(raw[i * step], raw[i * step + 1 : (i + 1) * step]) for i in range(POSTS)]


class Semaphores(wiring.Component):
    """The counters, zero after reset.

    A unit that requests is granted in a cycle in which every counter holds its demand; the whole
    demand is taken at once, the earlier queued unit first. What a grant takes and what is
    posted is added up in one cycle and counts in the next, so the cycle after a grant has none: a
    grant is decided on counts that no other grant is about to change. A post beyond SEMAPHORE_MAX
    leaves the maximum and is reported.

    Parameters
    ----------
    units : sequence of UnitSpec
        U of them have a queue; their order is that of priority.

    Members
    -------
    request : ``In(1).array(U)``, per queued unit; held with its demand until granted
    demand : ``In(DemandLayout).array(U)``
    grant : ``Out(1).array(U)``, same cycle
    waiting : ``Out(1).array(U)``, requests for what the counters do not hold; a grant of the cycle
        before is not subtracted yet
    retire : ``In(Retire()).array(U)``, the posts
    overflow, overflow_unit : ``Out(1)``, ``Out(range(U))``, 3 cycles after a post too many:
        position of the unit among the queued ones
    counts : ``Out(range(SEMAPHORE_MAX + 1)).array(16)``, the counters

    Latency
    -------
    Post to grant: 2 cycles. One grant per 2 cycles.
    """

    #: Post to grant; grant to grant; post too many to `overflow`.
    LATENCY = 2
    PERIOD = 2
    OVERFLOW_LATENCY = 3

    def __init__(self, *, units: Sequence[UnitSpec] = UNITS) -> None:
        count = self._units = len(queued(units))
        super().__init__(
            {
                "request": In(1).array(count),
                "demand": In(DemandLayout).array(count),
                "grant": Out(1).array(count),
                "waiting": Out(1).array(count),
                "retire": In(Retire()).array(count),
                "overflow": Out(1),
                "overflow_unit": Out(range(count)),
                "counts": Out(range(SEMAPHORE_MAX + 1)).array(SEMAPHORES),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units = range(self._units)
        counts = self.counts

        # Grants. `many` is whether a counter holds more than any demand.
        many, settling = Signal(SEMAPHORES), Signal()
        bits = WAITS.bit_length()
        taken_before: Value = settling
        for u in units:
            enough = Signal(name=f"enough{u}")
            holds = (
                many[s] | (counts[s][:bits] >= self.demand[u][s]) for s in range(SEMAPHORES)
            )
            m.d.comb += [
                enough.eq(Cat(holds).all()),
                self.grant[u].eq(self.request[u] & enough & ~taken_before),
                self.waiting[u].eq(self.request[u] & ~enough),
            ]
            taken_before = taken_before | (self.request[u] & enough)
        m.d.sync += settling.eq(Cat(self.grant).any())

        posts = [
            [(e & self.retire[u].valid, n) for e, n in _posts(self.retire[u].posts)] for u in units
        ]
        tallies = _tally([pair for unit_posts in posts for pair in unit_posts])
        over = Signal(SEMAPHORES)
        for s in range(SEMAPHORES):
            raised = Signal(len(tallies[s]), name=f"raised{s}")
            taken = Signal(bits, name=f"taken{s}")
            total = Signal(range(SEMAPHORE_MAX + POSTS * len(units) + 1), name=f"total{s}")
            wanted = (Mux(self.grant[u], self.demand[u][s], 0) for u in units)
            m.d.sync += [raised.eq(tallies[s]), taken.eq(reduce(or_, wanted))]
            m.d.comb += [total.eq(counts[s] - taken + raised), over[s].eq(total > SEMAPHORE_MAX)]
            m.d.sync += [
                counts[s].eq(Mux(over[s], SEMAPHORE_MAX, total)),
                many[s].eq(total[bits:].any()),
            ]

        # Who was it: the first unit that posted to a semaphore that overflowed.
        over_held = Signal(SEMAPHORES)
        m.d.sync += [over_held.eq(over), self.overflow.eq(over_held.any())]
        for u in reversed(units):
            posted = Signal(SEMAPHORES, name=f"posted{u}")
            posted_before = Signal(SEMAPHORES, name=f"posted_before{u}")
            m.d.sync += [
                posted_before.eq(Cat(count.any() for count in _tally(posts[u]))),
                posted.eq(posted_before),
            ]
            with m.If((over_held & posted).any()):
                m.d.sync += self.overflow_unit.eq(u)
        return m
