"""The queue in front of a unit: keeps instructions in order until their waits are satisfied."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..interface import INDEX_BITS, INSTRUCTION_BITS
from .semaphores import DemandLayout, demand

__all__ = ["UnitQueue"]


class UnitQueue(wiring.Component):
    """FIFO of instructions whose head asks the semaphores before it is offered to the unit.

    The waits are taken before the unit accepts; the instruction then stays on `o` until it does.

    Parameters
    ----------
    depth : int, >= 2
        Instructions, the head included.
    word_bits : int
        Bits kept of an instruction; fewer than all of them, the header included, only in proofs.

    Members
    -------
    i : ``In(stream.Signature(StartLayout))``
    request, demand : ``Out(1)``, ``Out(DemandLayout)``
        The head asks :class:`.semaphores.Semaphores`; held until granted
    grant : ``In(1)``
        Its answer, same cycle
    o : ``Out(stream.Signature(StartLayout))``

    Latency
    -------
    3 cycles from a push into an empty queue to `o`; one instruction per 3 cycles.
    """

    LATENCY = 3
    #: Cycles from an instruction to the next.
    PERIOD = 3

    def __init__(self, depth: int, *, word_bits: int = INSTRUCTION_BITS) -> None:
        self._depth = depth
        self._layout = data.StructLayout({"word": word_bits, "index": INDEX_BITS})
        super().__init__(
            {
                "i": In(stream.Signature(self._layout)),
                "request": Out(1),
                "demand": Out(DemandLayout),
                "grant": In(1),
                "o": Out(stream.Signature(self._layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=self._layout.size, depth=self._depth)
        head = self._layout(fifo.r_data)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            self.o.payload.eq(head),
            fifo.r_en.eq(self.o.valid & self.o.ready),
        ]
        # Cycle 0: the head's demand is decoded. 1: requested. 2: offered.
        with m.If(self.o.valid):
            m.d.sync += self.o.valid.eq(~self.o.ready)
        with m.Elif(self.request):
            m.d.sync += [self.request.eq(~self.grant), self.o.valid.eq(self.grant)]
        with m.Elif(fifo.r_rdy):
            m.d.sync += [self.request.eq(1), self.demand.eq(demand(head.word))]
        return m
