"""De-skews result lanes and gathers them into scratchpad writes."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..isa import ResultType
from ..memory.scratchpad import ResultWrite, line_bits

__all__ = ["ResultControl", "ResultWriter"]


class ResultControl(data.StructLayout):
    """A result row: `valid`, and the scratchpad line that it starts on."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__({"valid": 1, "line": unsigned(line_bits(config))})


class ResultWriter(wiring.Component):
    """Rows of C lanes of 16 bits in, writes of two lines per cycle out.

    Members
    -------
    lanes : In(ArrayLayout(16, C))
        Pair p is p cycles later than pair 0.
    result_type : In(2)
        Constant while rows are in flight.
    control : In(ResultControl)
        With pair 0 of a row; for int32 with its low halves. Rows are at least
        ``config.row_cycles`` apart.
    write : Out(ResultWrite)

    Latency
    -------
    ``LATENCY = C/2`` cycles to the first write of an int8 or int16 row, one more for int32; then a
    write a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.LATENCY = config.cols // 2
        super().__init__(
            {
                "lanes": In(data.ArrayLayout(16, config.cols)),
                "result_type": In(2),
                "control": In(ResultControl(config)),
                "write": Out(ResultWrite(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        pairs, wide = cfg.cols // 2, 16 * cfg.line_bytes
        lanes = Cat(
            delay(m, Cat(self.lanes[2 * p], self.lanes[2 * p + 1]), pairs - 1 - p, name=f"lanes{p}")
            for p in range(pairs)
        )
        lane = [lanes[16 * c : 16 * c + 16] for c in range(cfg.cols)]
        valid = delay(m, self.control.valid, pairs - 1, name="row_valid", reset=True)
        line = delay(m, self.control.line, pairs - 1, name="row_line")

        narrow, middle = self.result_type == ResultType.INT8, self.result_type == ResultType.INT16
        # An int32 row is complete with its high halves, one cycle after the low ones.
        low = Signal(16 * cfg.cols, reset_less=True)
        low_valid = Signal()
        low_line = Signal(len(line), reset_less=True)
        m.d.sync += [low_valid.eq(valid & ~narrow & ~middle), low.eq(lanes), low_line.eq(line)]

        bytes_row = Cat(v[:8] for v in lane)
        words_row = Cat(Cat(low[16 * c : 16 * c + 16], lane[c]) for c in range(cfg.cols))
        # Above what a narrow row takes, anything may stand.
        size = [len(bytes_row), len(lanes)]
        row = Cat(
            Mux(narrow, bytes_row, Mux(middle, lanes[: size[0]], words_row[: size[0]])),
            Mux(middle, lanes[size[0] :], words_row[size[0] : size[1]]),
            words_row[size[1] :],
        )
        single = cfg.cols == cfg.rows  # an int8 row is one line

        hold = Signal(32 * cfg.cols, reset_less=True)
        left = Signal(range(5))
        busy = Signal()  # `left != 0`: a load that loses its bank waits for it
        pair = Signal(len(line) - 1, reset_less=True)
        mask = Signal(2, reset_less=True)
        start = Mux(narrow | middle, valid, low_valid)
        with m.If(start):
            first = Mux(narrow | middle, line, low_line)
            writes = [max(1, t.bytes * cfg.cols // (2 * cfg.rows)) for t in ResultType]
            m.d.sync += [
                busy.eq(1),
                left.eq(Mux(narrow, writes[0], Mux(middle, writes[1], writes[2]))),
                pair.eq(first[1:]),
                mask.eq(Mux(narrow & single, Cat(~first[0], first[0]), 0b11)),
            ]
        with m.Elif(left != 0):
            m.d.sync += [
                busy.eq(left != 1),
                left.eq(left - 1),
                pair.eq(pair + 1),
            ]
        # What is held moves down in every cycle, wanted or not, so that it takes no enable.
        with m.If(start):
            m.d.sync += hold.eq(row)
            if single:
                with m.If(narrow):
                    m.d.sync += hold[: 2 * len(bytes_row)].eq(Cat(bytes_row, bytes_row))
        with m.Else():
            m.d.sync += hold.eq(Cat(hold[wide:], row[-wide:]))
        m.d.comb += [
            self.write.valid.eq(busy),
            self.write.pair.eq(pair),
            self.write.mask.eq(mask),
            self.write.data.eq(hold[:wide]),
        ]
        return m
