"""The dispatcher: sends checked instructions to their units, and ends a run."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..interface import INDEX_BITS, ErrorPort, StartLayout
from ..isa import UNITS, ErrorCode, Unit, UnitSpec, queued
from .check import checked_layout

__all__ = ["Dispatch"]

#: Instructions of one unit that may be queued or in flight: its queue, and the bursts of a DMA.
_IN_FLIGHT_BITS = 10


class Dispatch(wiring.Component):
    """Push each instruction into its unit's queue; a full queue holds up those behind it.

    END waits until all that was pushed is retired and fetch is idle, then raises `done`. An
    instruction with a code is reported and stays.

    Parameters
    ----------
    units : sequence of UnitSpec
        U of them have a queue.

    Members
    -------
    i : ``In(stream.Signature(checked_layout(units)))``
    o : ``Out(stream.Signature(StartLayout)).array(U)``, per queued unit
    retired : ``In(1).array(U)``, per queued unit, one instruction is complete
    fetch_idle : ``In(1)``
    ending : ``Out(1)``, END was reached
    done : ``Out(1)``, END is complete
    dispatched : ``Out(1)``, an instruction was pushed
    next_index : ``Out(24)``, index of the next instruction to push
    error : ``Out(ErrorPort())``, a level: the code of the instruction on `i`

    Latency
    -------
    0 cycles to a queue; 3 from the last retirement to `done`, as long as an overflow of its posts
    takes to be reported.
    """

    #: Instruction to its queue; last retirement to `done`.
    LATENCY = 0
    DONE_LATENCY = 3

    def __init__(self, *, units: Sequence[UnitSpec] = UNITS) -> None:
        self._queued = queued(units)
        count = len(self._queued)
        super().__init__(
            {
                "i": In(stream.Signature(checked_layout(units))),
                "o": Out(stream.Signature(StartLayout)).array(count),
                "retired": In(1).array(count),
                "fetch_idle": In(1),
                "ending": Out(1),
                "done": Out(1),
                "dispatched": Out(1),
                "next_index": Out(INDEX_BITS),
                "error": Out(ErrorPort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item = self.i.payload
        good, any_left = Signal(), Signal()
        m.d.comb += [
            good.eq(self.i.valid & (item.code == ErrorCode.NONE)),
            self.error.valid.eq(self.i.valid & (item.code != ErrorCode.NONE)),
            self.error.code.eq(item.code),
            self.error.index.eq(item.index),
            self.dispatched.eq(self.i.valid & self.i.ready),
            self.ending.eq(good & (item.unit == Unit.CONTROL)),
        ]
        m.d.sync += self.done.eq(self.ending & ~any_left & self.fetch_idle)
        with m.If(self.dispatched):
            m.d.sync += self.next_index.eq(item.index + 1)
        left = []
        for u, spec in enumerate(self._queued):
            port = self.o[u]
            count = Signal(_IN_FLIGHT_BITS, name=f"in_flight_{spec.name}")
            left.append(count.any())
            m.d.comb += [
                port.payload.word.eq(item.word),
                port.payload.index.eq(item.index),
                port.valid.eq(good & (item.unit == spec.unit)),
            ]
            with m.If(port.valid):
                m.d.comb += self.i.ready.eq(port.ready)
            pushed = port.valid & port.ready
            gone = Signal(name=f"gone_{spec.name}")
            m.d.sync += [gone.eq(self.retired[u]), count.eq(count + pushed - gone)]
        m.d.comb += any_left.eq(Cat(left).any())
        return m
