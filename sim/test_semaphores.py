"""Unit queues and semaphores, together as the core has them, under cocotb."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from weft_hw.control.queue import UnitQueue
from weft_hw.control.semaphores import Semaphores
from weft_hw.interface import StartLayout
from weft_hw.isa import queued

pytestmark = pytest.mark.sim

DEPTHS = (2, 4, 16, 4)


class QueuesWithSemaphores(wiring.Component):
    """A queue per unit, of the given depths, in front of one :class:`Semaphores`."""

    def __init__(self, depths):
        self.queues = [UnitQueue(depth) for depth in depths]
        self.semaphores = Semaphores()
        units, inner = len(queued()), self.semaphores.signature.members
        self.outputs = ("waiting", "overflow", "overflow_unit", "counts")
        super().__init__(
            {
                "i": In(stream.Signature(StartLayout)).array(units),
                "o": Out(stream.Signature(StartLayout)).array(units),
                "request": Out(1).array(units),
                "grant": Out(1).array(units),
                "retire": inner["retire"],
                **{name: inner[name] for name in self.outputs},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.semaphores = semaphores = self.semaphores
        for u, queue in enumerate(self.queues):
            m.submodules[f"queue{u}"] = queue
            wiring.connect(m, wiring.flipped(self.i[u]), queue.i)
            wiring.connect(m, queue.o, wiring.flipped(self.o[u]))
            wiring.connect(m, wiring.flipped(self.retire[u]), semaphores.retire[u])
            m.d.comb += [
                semaphores.request[u].eq(queue.request),
                semaphores.demand[u].eq(queue.demand),
                queue.grant.eq(semaphores.grant[u]),
                self.request[u].eq(queue.request),
                self.grant[u].eq(semaphores.grant[u]),
                self.waiting[u].eq(semaphores.waiting[u]),
            ]
        m.d.comb += [
            self.overflow.eq(semaphores.overflow),
            self.overflow_unit.eq(semaphores.overflow_unit),
            *(mine.eq(its) for mine, its in zip(self.counts, semaphores.counts)),
        ]
        return m


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_semaphores(bench, stall):
    dut = QueuesWithSemaphores(DEPTHS)
    outcome = bench(dut, "bench_semaphores", name="semaphores", stall=stall, depths=DEPTHS)
    assert outcome.tests == 5
