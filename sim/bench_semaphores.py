"""Unit queues in front of the semaphores: order, waits, posts, overflow, and their pace."""

from __future__ import annotations

import random

import cocotb

from runner import parameters
from streams import Lockstep, Pauses
from weft_hw.control.queue import UnitQueue
from weft_hw.control.semaphores import Semaphores
from weft_hw.interface import POST_BITS, StartLayout
from weft_hw.isa import (
    LAYOUTS,
    POSTS,
    SEMAPHORE_MAX,
    SEMAPHORES,
    Instruction,
    Opcode,
    encode,
    queued,
)

UNITS = range(len(queued()))
DEPTHS = parameters()["depths"]
_FIRST_POST = LAYOUTS[Opcode.END]["post0_enable"].offset


def word_of(waits=(), posts=()) -> int:
    return int.from_bytes(encode(Instruction(Opcode.LOAD, waits, posts)), "little")


def raw_posts(posts) -> int:
    """The post fields of an instruction that posts to `posts`."""
    return word_of(posts=posts) >> _FIRST_POST & ((1 << POST_BITS) - 1)


class Model:
    """Counters and queues as lists; compares every output in every cycle.

    `post` holds, per unit, the semaphores that it posts to in the next cycle.
    """

    def __init__(self, dut):
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        self.sources = [self.bench.source(f"i__{u}", StartLayout, self.stall) for u in UNITS]
        self.sinks = [self.bench.sink(f"o__{u}", StartLayout, self.stall) for u in UNITS]
        self.bench.add(self)
        self.forget()

    def forget(self):
        self.counts = [0] * SEMAPHORES
        self.post: list[tuple[int, ...]] = [()] * len(UNITS)
        self.waits: list[list[tuple[int, ...]]] = [[] for _ in UNITS]
        self.granted: list[list[int]] = [[] for _ in UNITS]
        self.grant_of_cycle: list[int | None] = [None]
        #: Semaphores taken, and per unit posted to, in the cycle before.
        self.taken: list[int] = []
        self.posted: list[tuple[int, ...]] = [()] * len(UNITS)
        self.overflows: list[int | None] = [None] * (Semaphores.OVERFLOW_LATENCY - 1)
        self.refused = [0] * len(UNITS)

    def send(self, unit, *waits):
        """Queue an instruction with each of these waits."""
        for one in waits:
            index = len(self.waits[unit])
            self.waits[unit].append(one)
            self.sources[unit].queue.append({"word": word_of(one), "index": index})

    def drive(self):
        for u in UNITS:
            self.bench.set(f"retire__{u}__valid", bool(self.post[u]))
            # What stands in the fields of a unit that does not retire must not count.
            garbage = (random.randrange(SEMAPHORES),) * POSTS
            self.bench.set(f"retire__{u}__posts", raw_posts(self.post[u] or garbage))

    def sample(self):
        bench, cycle = self.bench, self.bench.cycle
        for s in range(SEMAPHORES):
            assert bench.get(f"counts__{s}") == self.counts[s], f"semaphore {s}, cycle {cycle}"
        # The oldest instruction that was not granted is the one that asks. After a grant comes a
        # cycle without one.
        winner, settling = None, self.grant_of_cycle[-1] is not None
        for u in UNITS:
            asks = bool(bench.get(f"request__{u}"))
            wanted = self.waits[u][len(self.granted[u])] if asks else ()
            enough = all(self.counts[s] >= wanted.count(s) for s in wanted)
            if asks and enough and winner is None and not settling:
                winner = u
            assert bench.get(f"waiting__{u}") == (asks and not enough), f"cycle {cycle}"
            assert bench.get(f"grant__{u}") == (winner == u), f"unit {u}, cycle {cycle}"
            self._queue(u)
        overflow = self.overflows.pop(0)
        assert bench.get("overflow") == (overflow is not None), f"cycle {cycle}"
        if overflow is not None:
            assert bench.get("overflow_unit") == overflow
        # What was taken and posted in the cycle before counts from the next one on.
        for s in self.taken:
            self.counts[s] -= 1
        for s in (s for posts in self.posted for s in posts):
            self.counts[s] += 1
        over = {s for s in range(SEMAPHORES) if self.counts[s] > SEMAPHORE_MAX}
        self.overflows.append(next((u for u in UNITS if over & {*self.posted[u]}), None))
        self.counts = [min(count, SEMAPHORE_MAX) for count in self.counts]
        self.taken = []
        if winner is not None:
            self.taken = list(self.waits[winner][len(self.granted[winner])])
            self.granted[winner].append(cycle)
        self.grant_of_cycle.append(winner)
        self.posted, self.post = self.post, [()] * len(UNITS)

    def _queue(self, u):
        """Order, occupancy, and nothing offered before its grant."""
        source, sink, cycle = self.sources[u], self.sinks[u], self.bench.cycle
        taken = bool(sink.got) and sink.got[-1][0] == cycle
        put = bool(source.sent) and source.sent[-1] == cycle
        held = len(source.sent) - put - (len(sink.got) - taken)
        full = not self.bench.get(f"i__{u}__ready")
        assert full == (held == DEPTHS[u]), f"queue {u} holds {held}, cycle {cycle}"
        self.refused[u] += full
        assert len(sink.offered) <= len(self.granted[u]), f"unit {u} started before its grant"
        if taken:
            n = len(sink.got) - 1
            item = sink.got[n][1]
            assert (item.index, item.word) == (n, word_of(self.waits[u][n]))

    def finished(self):
        return all(len(self.sinks[u].got) == len(self.waits[u]) for u in UNITS)


@cocotb.test()
async def random_programs(dut):
    """Few semaphores and random posts, so that units meet, wait, and overflow."""
    model = Model(dut)
    await model.bench.begin()
    quiet = [Pauses(0.6) for _ in UNITS]
    for u in UNITS:
        model.send(u, *(tuple(random.choices(range(5), k=random.randrange(4))) for _ in range(150)))
    for _ in range(20_000):
        if model.finished():
            break
        for u in UNITS:
            if not quiet[u]:
                model.post[u] = tuple(random.choices(range(5), k=random.randrange(POSTS + 1)))
        await model.bench.step()
    assert model.finished()
    assert {*model.grant_of_cycle} == {None, *UNITS}
    if model.stall:
        assert all(model.refused), "each queue has to be full at times"


@cocotb.test()
async def pace(dut):
    """Without waits an instruction starts LATENCY cycles after its push, one every PERIOD."""
    model = Model(dut)
    if model.stall:
        return
    await model.bench.begin()
    for u in UNITS:
        await model.bench.reset()
        model.send(u, *[()] * 30)
        await model.bench.until(model.finished)
        source, sink = model.sources[u], model.sinks[u]
        first = source.sent[0] + UnitQueue.LATENCY
        assert sink.offered == list(range(first, first + 30 * UnitQueue.PERIOD, UnitQueue.PERIOD))
        assert model.refused[u] > 0
    # Alone, and all at once, which share one grant per Semaphores.PERIOD cycles: the last
    # unit may have to wait for all grants of the others.
    await model.bench.reset()
    for u in UNITS:
        model.send(u, *[()] * 30)
    await model.bench.until(model.finished)
    others = (len(UNITS) - 1) * Semaphores.PERIOD
    most = 30 * (others + UnitQueue.PERIOD) + UnitQueue.LATENCY + others
    assert max(sink.got[-1][0] for sink in model.sinks) <= most


@cocotb.test()
async def posts_and_grants(dut):
    """A post is granted LATENCY cycles later; of units that ask at once, the earlier goes first."""
    model = Model(dut)
    await model.bench.begin()
    for posting in UNITS:
        await model.bench.reset()
        for u in UNITS:
            model.send(u, (7,))
        await model.bench.until(lambda: all(model.bench.get(f"waiting__{u}") for u in UNITS))
        await model.bench.step(4)
        at = []
        for _ in UNITS:
            at.append(model.bench.cycle)
            model.post[posting] = (7,)
            await model.bench.step(5)
        assert [model.granted[u] for u in UNITS] == [[c + Semaphores.LATENCY] for c in at]


@cocotb.test()
async def waits_are_atomic(dut):
    """Nothing is taken until all is there, so that another unit may take a part of it."""
    model = Model(dut)
    await model.bench.begin()
    model.send(0, (2, 2, 9))
    model.send(2, (9,), (2, 2, 2))
    await model.bench.step(60)
    for posts, grants in (((2, 9), (0, 1)), ((2, 2), (0, 2)), ((2, 2), (0, 2)), ((9,), (1, 2))):
        model.post[1] = posts
        await model.bench.step(8 if not model.stall else 80)
        assert (len(model.granted[0]), len(model.granted[2])) == grants
    await model.bench.until(model.finished)
    assert model.counts == [0] * SEMAPHORES


@cocotb.test()
async def overflow(dut):
    """The maximum is held; one more is reported with its unit, and the maximum stays."""
    model = Model(dut)
    await model.bench.begin()
    for u in UNITS:
        await model.bench.reset()
        for _ in range(SEMAPHORE_MAX // POSTS):
            model.post[u] = (5, 5)
            await model.bench.step()
        model.post[u] = (5,)
        await model.bench.step(4)
        assert model.counts[5] == SEMAPHORE_MAX and not any(
            isinstance(o, int) for o in model.overflows
        )
        model.post[u] = (5,)
        await model.bench.step(2)
        assert model.overflows[-1] == u
        await model.bench.step(3)
        # A wait and a post of one cycle: the maximum stays, and that is no overflow.
        model.send(1, (5,))
        await model.bench.until(lambda: model.sources[1].sent)
        asks = model.sources[1].sent[0] + UnitQueue.LATENCY - 1
        await model.bench.step(asks - model.bench.cycle)
        model.post[u] = (5,)
        await model.bench.step(2)
        assert model.granted[1] == [asks] and not any(o is not None for o in model.overflows)
        await model.bench.step(3)
        assert model.counts[5] == SEMAPHORE_MAX
