"""Small stream parts: a queue, a two-entry buffer and a round-robin choice."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue", "RoundRobin", "Skid"]


class Queue(wiring.Component):
    """First in, first out, in memory with a registered output.

    Parameters
    ----------
    shape : shape of the payload.
    depth : entries, >= 2.

    Members
    -------
    i : In(stream), o : Out(stream)
        Streams of `shape`. Latency 2 cycles; one entry a cycle; both sides are registered.
    """

    def __init__(self, shape: ShapeLike, *, depth: int) -> None:
        self._shape, self._depth = shape, depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(Value.cast(self.i.payload))
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=width, depth=self._depth)
        m.d.comb += [
            queue.w_data.eq(self.i.payload),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            Value.cast(self.o.payload).eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m


class Skid(wiring.Component):
    """Two registers that cut the ready path of a stream.

    Members
    -------
    i : In(stream), o : Out(stream)
        Streams of the given shape. Latency 1 cycle; one entry a cycle; ``i.ready``, ``o.valid`` and
        ``o.payload`` are registers.
    """

    def __init__(self, shape: ShapeLike) -> None:
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        front = Signal(self._shape, reset_less=True)
        back = Signal(self._shape, reset_less=True)
        front_valid, back_valid = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~back_valid),
            self.o.valid.eq(front_valid),
            self.o.payload.eq(front),
        ]
        with m.If(~front_valid | self.o.ready):
            m.d.sync += [
                front.eq(Mux(back_valid, Value.cast(back), Value.cast(self.i.payload))),
                front_valid.eq(back_valid | self.i.valid),
                back_valid.eq(0),
            ]
        with m.Elif(~back_valid):
            m.d.sync += [back.eq(self.i.payload), back_valid.eq(self.i.valid)]
        return m


class RoundRobin(wiring.Component):
    """Chooses among requests; the one granted last comes last.

    Members
    -------
    requests : ``In(n)``, one bit each.
    grant : ``Out(n)``, one-hot, or zero where nothing is requested. Combinational.
    accept : ``In(1)``, the grant was used.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        super().__init__({"requests": In(n), "grant": Out(n), "accept": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n = self._n
        after = Signal(n)  # requests behind the one granted last
        behind = Signal(n)
        m.d.comb += behind.eq(self.requests & after)
        choice = Mux(behind != 0, behind, self.requests)
        m.d.comb += self.grant.eq(choice & (~choice + 1))
        with m.If(self.accept & (self.requests != 0)):
            m.d.sync += after.eq(~(((self.grant << 1) - 1)[:n]))
        return m
