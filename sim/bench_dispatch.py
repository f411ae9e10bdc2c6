"""The dispatcher between a stream of checked instructions and the units' queues."""

from __future__ import annotations

import random

import cocotb

from runner import parameters
from streams import Lockstep, Pauses
from weft_hw.control.check import checked_layout
from weft_hw.control.dispatch import Dispatch
from weft_hw.interface import StartLayout
from weft_hw.isa import ErrorCode, Unit, queued

QUEUED_UNITS = [spec.unit for spec in queued()]
UNITS = range(len(QUEUED_UNITS))


class Model:
    """The block, cycle by cycle, and units that retire what they were given."""

    def __init__(self, dut):
        self.stall = parameters()["stall"]
        self.bench = Lockstep(dut)
        self.source = self.bench.source("i", checked_layout(), self.stall)
        self.sinks = [self.bench.sink(f"o__{u}", StartLayout, self.stall) for u in UNITS]
        self.bench.add(self)
        self.rest = [Pauses(self.stall) for _ in UNITS]
        self.fetching = Pauses(self.stall)
        self.forget()

    def forget(self):
        self.in_flight = [0 for _ in UNITS]
        #: What the block knows of them: a retirement counts a cycle later, and so does `done`.
        self.counted, self.gone = [0 for _ in UNITS], [False for _ in UNITS]
        self.done = False
        self.item = None
        self.next_index = 0
        self.done_at: int | None = None

    def drive(self):
        """Retire, and say whether fetch is idle; `in_flight` is that of the cycle's begin."""
        bench = self.bench
        self.retiring = [bool(self.in_flight[u]) and not self.rest[u] for u in UNITS]
        for u in UNITS:
            bench.set(f"retired__{u}", self.retiring[u])
        self.fetch_idle = not self.fetching
        bench.set("fetch_idle", self.fetch_idle)
        self.item = self.source.queue[0] if self.source.valid else None

    def sample(self):
        bench, item = self.bench, self.item
        ending = item is not None and item["code"] == 0 and item["unit"] == Unit.CONTROL
        wrong = item is not None and item["code"] != 0
        pushed = [
            bool(self.sinks[u].got) and self.sinks[u].got[-1][0] == bench.cycle for u in UNITS
        ]
        assert sum(pushed) <= 1
        for name, want in (
            ("ending", ending),
            ("done", self.done),
            ("dispatched", any(pushed)),
            ("error__valid", wrong),
            ("next_index", self.next_index),
        ):
            assert bench.get(name) == want, f"{name}, cycle {bench.cycle}"
        if wrong:
            assert bench.get("error__code") == item["code"]
            assert bench.get("error__index") == item["index"]
        if self.done and self.done_at is None:
            self.done_at = bench.cycle
        self.done = ending and not any(self.counted) and self.fetch_idle
        for u in UNITS:
            self.in_flight[u] += pushed[u] - self.retiring[u]
            self.counted[u] += pushed[u] - self.gone[u]
        self.gone = list(self.retiring)
        if any(pushed):
            self.next_index = item["index"] + 1

    def send(self, units, end=None):
        """Queue an instruction for each of `units`, then an item `end`."""
        self.items = [
            {"word": random.getrandbits(512), "index": i, "code": 0, "unit": unit}
            for i, unit in enumerate(units)
        ]
        self.source.queue.extend(self.items)
        if end is not None:
            index = len(self.items)
            self.source.queue.append({"word": 0, "index": index, "code": 0, "unit": 0} | end)

    def check(self):
        """Every instruction reached its unit, in order."""
        for unit, sink in zip(QUEUED_UNITS, self.sinks):
            want = [(i["word"], i["index"]) for i in self.items if i["unit"] == unit]
            assert [(item.word, item.index) for _, item in sink.got] == want


@cocotb.test()
async def random_units(dut):
    """Each instruction reaches its unit; END waits for the last retirement and for fetch."""
    model = Model(dut)
    await model.bench.begin()
    for _ in range(3):
        await model.bench.reset()
        model.send(random.choices(QUEUED_UNITS, k=120), {"unit": Unit.CONTROL})
        await model.bench.until(lambda: model.done_at is not None)
        model.check()
        # END stays, and so does `done`, as long as fetch is idle.
        await model.bench.step(5)
        assert not model.source.sent[120:]


@cocotb.test()
async def full_rate(dut):
    """An instruction a cycle into its queue, and the claimed latencies."""
    model = Model(dut)
    if model.stall:
        return
    await model.bench.begin()
    model.send(random.choices(QUEUED_UNITS, k=60), {"unit": Unit.CONTROL})
    await model.bench.until(lambda: model.done_at is not None)
    assert model.source.sent == list(range(60))
    arrived = sorted(cycle for sink in model.sinks for cycle, _ in sink.got)
    assert arrived == [cycle + Dispatch.LATENCY for cycle in model.source.sent]
    # Each instruction retires in the cycle after its push.
    assert model.done_at == arrived[-1] + 1 + Dispatch.DONE_LATENCY


@cocotb.test()
async def a_full_queue_holds_up_the_rest(dut):
    """An instruction whose queue is full waits, and nothing behind it overtakes."""
    model = Model(dut)
    await model.bench.begin()
    for full, unit in enumerate(QUEUED_UNITS):
        others = [other for other in QUEUED_UNITS if other != unit]
        for u, sink in enumerate(model.sinks):
            sink.pauses = u == full
        await model.bench.reset()
        model.send([*others, unit, *others], {"unit": Unit.CONTROL})
        await model.bench.step(20 if model.stall == 0 else 120)
        assert len(model.source.sent) == len(others)
        assert model.sinks[full].held is not None
        model.sinks[full].pauses = False
        await model.bench.until(lambda: model.done_at is not None)
        model.check()


@cocotb.test()
async def errors(dut):
    """Every code stays on the error port, with its index, and nothing goes to a queue."""
    model = Model(dut)
    await model.bench.begin()
    for code in list(ErrorCode)[1:]:
        for unit in Unit:
            await model.bench.reset()
            model.send([Unit.LOAD, Unit.STORE], {"code": code, "unit": unit})
            await model.bench.until(lambda: len(model.source.sent) == 2)
            await model.bench.until(lambda: model.bench.get("error__valid"))
            await model.bench.step(6)
            model.check()
            assert model.done_at is None and len(model.source.sent) == 2
