"""Instruction fetch: bursts of program text, put together to 512-bit words in order."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..config import BURST_BEATS, AcceleratorConfig
from ..interface import INDEX_BITS, INSTRUCTION_BITS, FetchPort
from ..isa import INSTRUCTION_BYTES, ErrorCode
from ..repeat import MAX_ENABLES, repeated

__all__ = ["BUFFER_BURSTS", "Fetch", "FetchedLayout"]

#: Bursts that may be asked for, or wait as beats, at once.
BUFFER_BURSTS = 4

#: A fetched instruction; `code` is NONE, or why there is no instruction at `index`.
FetchedLayout = data.StructLayout({"word": INSTRUCTION_BITS, "index": INDEX_BITS, "code": 4})


class Fetch(wiring.Component):
    """Read a program from the arena, from its first instruction on, as soon as reset ends.

    A burst is up to one stripe, aligned to it; near the end of the arena it is one instruction, so
    that exactly the instructions that lie inside the arena are delivered. After the last one comes
    one item with a code: PROGRAM_END at index `program_length`, or ARENA at the index of the first
    instruction that is not inside the arena. Errors thus reach the dispatcher in program order.

    Members
    -------
    port : ``Out(FetchPort(config))``, the DMA; no more beats are asked for than there is room for
    program_offset : ``In(32)``, bytes, the lowest 8 bits are ignored
    program_length : ``In(24)``, instructions
    arena_bytes : ``In(32)``
    stop : ``In(1)``, ask for no further burst
    idle : ``Out(1)``, nothing is asked for and no beat is on its way
    o : ``Out(stream.Signature(FetchedLayout))``

    Latency
    -------
    3 cycles from reset to the first request; 2 from an instruction's last beat to `o`. One beat per
    cycle; one request per 4 cycles.
    """

    #: Reset to first request; last beat of an instruction to `o`; request to the next.
    REQUEST_LATENCY = 3
    LATENCY = 2
    REQUEST_PERIOD = 4

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "port": Out(FetchPort(config)),
                "program_offset": In(32),
                "program_length": In(INDEX_BITS),
                "arena_bytes": In(32),
                "stop": In(1),
                "idle": Out(1),
                "o": Out(stream.Signature(FetchedLayout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        width = self._config.axi_data_bits
        beats = INSTRUCTION_BITS // width
        per_burst = BURST_BEATS // beats
        capacity = BUFFER_BURSTS * BURST_BEATS
        m.submodules.buffer = buffer = SyncFIFO(width=width, depth=capacity)

        # Requests: position, then size and what is left of the arena, then the request; when it is
        # taken, the next begins. Positions count instructions: offsets are multiples of one.
        unit = INSTRUCTION_BYTES.bit_length() - 1
        limit = self.arena_bytes[unit:]
        asked = Signal(INDEX_BITS)
        # A register, which the first position leaves time to load.
        remaining, fresh = Signal(INDEX_BITS, reset_less=True), Signal(init=1)
        all_asked = Signal()
        prepared, compared = Signal(), Signal()
        position = Signal(len(limit) + 1, reset_less=True)
        size = Signal(range(per_burst + 1), reset_less=True)
        left = Signal(signed(len(position) + 1), reset_less=True)
        count = Signal.like(size, reset_less=True)
        credit = Signal(range(capacity + 1), init=capacity)
        room = Signal()
        fault = Signal()
        with m.If(fresh):
            m.d.sync += [remaining.eq(self.program_length), fresh.eq(0)]
        with m.If(~prepared):
            m.d.sync += [
                position.eq((self.program_offset[8:] << (8 - unit)) + asked),
                prepared.eq(1),
            ]
        with m.Elif(~compared):
            m.d.sync += [
                size.eq(Mux(remaining < per_burst, remaining, per_burst)),
                left.eq(limit - position),
                compared.eq(remaining != 0),
            ]
        with m.Elif(~port.valid & ~fault & ~self.stop & room):
            inside, fitting = Signal(), Signal.like(size)
            m.d.comb += [inside.eq(left > 0), fitting.eq(Mux(left >= size, size, 1))]
            m.d.sync += [
                port.offset.eq(position << unit),
                port.beats.eq(fitting * beats),
                port.valid.eq(inside),
                fault.eq(~inside),
                count.eq(fitting),
            ]
        m.d.sync += [room.eq(credit >= BURST_BEATS), all_asked.eq(asked == self.program_length)]
        with m.If(port.valid & port.ready):
            m.d.sync += [
                port.valid.eq(0),
                asked.eq(asked + count),
                remaining.eq(remaining - count),
                prepared.eq(0),
                compared.eq(0),
            ]

        # Credit counts free places that no burst has a claim on, `expected` beats on their way.
        expected = Signal(range(capacity + 1))
        # Both know of a request a cycle after it is taken; the next is three cycles away.
        accepted = Signal()
        m.d.sync += accepted.eq(port.valid & port.ready)
        taken = Mux(accepted, port.beats, 0)
        popped = buffer.r_en & buffer.r_rdy
        m.d.sync += [
            credit.eq(credit - taken + popped),
            expected.eq(expected + taken - buffer.w_en),
        ]
        m.d.comb += [
            buffer.w_data.eq(port.data),
            buffer.w_en.eq(port.data_valid),
            self.idle.eq(~port.valid & ~accepted & (expected == 0)),
        ]

        # Words. Beats shift in from the top; the first beat ends at the bottom.
        word = Signal(INSTRUCTION_BITS, reset_less=True)
        index = Signal(INDEX_BITS)
        filled = Signal(range(beats + 1))
        full, fills = Signal(), Signal()  # `filled == beats`, now and in the next cycle
        exhausted = Signal()
        m.d.sync += full.eq(fills)
        m.d.comb += [
            fills.eq(Mux(full, ~self.o.ready, popped & (filled == beats - 1))),
            buffer.r_en.eq(~full | self.o.ready),
            self.o.valid.eq(full | exhausted),
            self.o.payload.word.eq(word),
            self.o.payload.index.eq(index),
            self.o.payload.code.eq(
                Mux(full, ErrorCode.NONE, Mux(fault, ErrorCode.ARENA, ErrorCode.PROGRAM_END))
            ),
        ]
        # Stays once it is high: nothing is asked for any more.
        m.d.sync += exhausted.eq((index == asked) & (all_asked | fault))
        # Copies of `full`, each of which moves a part of the word.
        moved = Cat(word[width:], buffer.r_data)
        parts = -(-INSTRUCTION_BITS // MAX_ENABLES)
        share = -(-INSTRUCTION_BITS // parts)
        for i, copy in enumerate(repeated(m, fills, parts, name="full", init=0)):
            with m.If((~copy | self.o.ready) & buffer.r_rdy):
                m.d.sync += word[share * i : share * (i + 1)].eq(moved[share * i : share * (i + 1)])
        with m.If(full & self.o.ready):
            m.d.sync += [filled.eq(popped), index.eq(index + 1)]
        with m.Else():
            m.d.sync += filled.eq(filled + popped)
        return m
