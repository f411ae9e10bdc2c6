"""Accumulators of two columns."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..target import check_target
from .array import psum_bits

__all__ = ["Accumulator", "AccumulatorControl"]


class AccumulatorControl(data.StructLayout):
    """What happens to one row: `first` starts from the bias; `last` does not write back."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "valid": 1,
                "first": 1,
                "last": 1,
                "address": unsigned((config.accumulator_rows - 1).bit_length()),
            }
        )


class Accumulator(wiring.Component):
    """Read, add, write for the int32 accumulators of one column pair; wraps at 32 bits.

    Realises the first/middle/last pass of ``MATMUL``: see ``numerics.accumulate``, and
    ``numerics.larger`` where `maximum` takes the place of the sum.

    Members
    -------
    control : In(AccumulatorControl)
        Two cycles before `psum`.
    psum : In(ArrayLayout(signed, 2)), bias : In(ArrayLayout(signed(32), 2))
        The row's column sums and the biases, which count where the row is `first`.
    maximum : In(1)
        Keep the larger instead of the sum. Constant while rows are in flight.
    sum : Out(ArrayLayout(signed(32), 2))
        The row's new values.

    Latency
    -------
    3 cycles from `control` to `sum`, 1 from `psum`; one row a cycle. A row may come again 4 cycles
    after its last use (``config.ACCUMULATOR_LATENCY``), not earlier.
    """

    LATENCY = 3

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        packing = check_target(target)
        self._style = packing.ram_style(scratchpad=False) if packing else {}
        super().__init__(
            {
                "control": In(AccumulatorControl(config)),
                "psum": In(data.ArrayLayout(signed(psum_bits(config)), 2)),
                "bias": In(data.ArrayLayout(signed(32), 2)),
                "maximum": In(1),
                "sum": Out(data.ArrayLayout(signed(32), 2)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = rows = memory.Memory(
            shape=unsigned(64), depth=self.config.accumulator_rows, init=[], attrs=self._style
        )
        read, write = rows.read_port(), rows.write_port()
        layout = self.control.shape()
        stage1 = Signal(layout, reset_less=True)
        stage2 = Signal(layout, reset_less=True)
        stage3 = Signal(layout, reset_less=True)
        m.d.sync += [stage1.eq(self.control), stage2.eq(stage1), stage3.eq(stage2)]
        # `valid` guards the write, so it alone has to clear in a reset.
        writing = Signal()
        m.d.sync += writing.eq(stage2.valid & ~stage2.last)

        stored = Signal(64, reset_less=True)
        m.d.comb += [
            read.addr.eq(self.control.address),
            read.en.eq(self.control.valid & ~self.control.first),
        ]
        m.d.sync += stored.eq(read.data)
        for j in range(2):
            base = Mux(stage2.first, self.bias[j], stored[32 * j : 32 * j + 32].as_signed())
            total = Signal(signed(32), name=f"sum{j}", reset_less=True)
            a, b = base[:8].as_signed(), self.psum[j][:8].as_signed()
            m.d.sync += total.eq(
                Mux(self.maximum, Mux(a > b, a, b), (base + self.psum[j])[:32].as_signed())
            )
            m.d.comb += [self.sum[j].eq(total), write.data[32 * j : 32 * j + 32].eq(total)]
        m.d.comb += [write.addr.eq(stage3.address), write.en.eq(writing)]
        return m
