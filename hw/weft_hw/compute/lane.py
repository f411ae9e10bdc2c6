"""Everything behind the array for one column pair: accumulators, requantise lanes, table."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..memory.parameters import EntryLayout
from ..memory.table import TableMemory
from ..numerics import MULTIPLIER_BITS
from ..repeat import KEEP
from .accumulator import Accumulator, AccumulatorControl
from .array import psum_bits
from .requantise import Requantise, SetupLayout

__all__ = ["LanePair", "ModeLayout"]

#: How rows accumulate, and how results leave: raw int32 halves, or requantised values, with a
#: residual or not, through a table or not.
ModeLayout = data.StructLayout(
    {
        "raw": unsigned(1),
        "table_enable": unsigned(1),
        "table": unsigned(4),
        "maximum": unsigned(1),
        "residual": unsigned(1),
        "residual_zero_point": signed(8),
        "setup": SetupLayout,
    }
)


class LanePair(wiring.Component):
    """Two result lanes: column sums in, 16 bits per column and cycle out.

    Members
    -------
    control : In(AccumulatorControl)
        Two cycles before `psum`.
    psum : In(ArrayLayout(signed, 2))
    entry_en : In(1), entry : In(ArrayLayout(EntryLayout, 2))
        New parameters, one cycle before the `psum` of the first row that uses them.
    residual : In(ArrayLayout(signed(8), 2)), residual_en : In(1)
        What is added to the row's results, one cycle before its `psum`.
    mode : In(ModeLayout)
        Constant while rows are in flight, and in the cycle before.
    result : Out(ArrayLayout(16, 2))
        Requantised: the value. Raw: the low half ``RAW_LATENCY`` cycles after `psum`, the high
        half in the next cycle.
    table_write_en, table_write_address, table_write_data : In

    Latency
    -------
    ``LATENCY`` cycles from `psum` to a requantised `result`; a row a cycle. Raw rows are at least
    two cycles apart.
    """

    #: psum -> sum -> clamped -> table.
    LATENCY = 1 + Requantise.LATENCY + TableMemory.LATENCY
    RAW_LATENCY = 1

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        self.target = target
        table_bits = (config.tables * 256 - 1).bit_length()
        super().__init__(
            {
                "control": In(AccumulatorControl(config)),
                "psum": In(data.ArrayLayout(signed(psum_bits(config)), 2)),
                "entry_en": In(1),
                "entry": In(data.ArrayLayout(EntryLayout, 2)),
                "residual": In(data.ArrayLayout(signed(8), 2)),
                "residual_en": In(1),
                "mode": In(ModeLayout),
                "result": Out(data.ArrayLayout(16, 2)),
                "table_write_en": In(1),
                "table_write_address": In(table_bits),
                "table_write_data": In(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A copy of the constants for each pair, which tools keep apart: one register for all lanes
        # has some thousand loads, and was the longest path.
        mode = Signal(ModeLayout, reset_less=True, attrs=KEEP)
        m.d.sync += mode.eq(self.mode)
        m.submodules.accumulator = accumulator = Accumulator(self.config, self.target)
        m.submodules.table = table = TableMemory(self.config)
        m.d.comb += [
            accumulator.control.eq(self.control),
            accumulator.psum.eq(self.psum),
            accumulator.maximum.eq(mode.maximum),
            table.en.eq(mode.table_enable),
            table.write_en.eq(self.table_write_en),
            table.write_address.eq(self.table_write_address),
            table.write_data.eq(self.table_write_data),
        ]
        # The new multiplier reaches the lane two cycles after the bias, as the row does.
        fresh = delay(m, self.entry_en, 2, name="fresh")
        residual_en = delay(m, self.residual_en, 1, name="residual_en", reset=True)
        for j in range(2):
            bias = Signal(signed(32), name=f"bias{j}", reset_less=True)
            held = Signal(MULTIPLIER_BITS + 6, name=f"held{j}", reset_less=True)
            used = Signal(MULTIPLIER_BITS + 6, name=f"used{j}", reset_less=True)
            entry = self.entry[j]
            with m.If(self.entry_en):
                m.d.sync += [bias.eq(entry.bias), held.eq(Cat(entry.multiplier, entry.shift))]
            with m.If(fresh):
                m.d.sync += used.eq(held)
            lane = Requantise()
            m.submodules[f"requantise{j}"] = lane
            residual = Signal(signed(9), name=f"residual{j}", reset_less=True)
            m.d.sync += residual.eq(self.residual[j] - mode.residual_zero_point)
            value = delay(m, lane.result, TableMemory.LATENCY, name=f"value{j}")
            looked_up = table.data[j].as_signed()
            # Raw rows leave early: the low half at once, the high half a cycle later.
            high = Signal(16, name=f"high{j}", reset_less=True)
            second = Signal(name=f"second{j}")
            raw_row = delay(
                m, self.control.valid & self.control.last, Accumulator.LATENCY, name=f"raw{j}",
                reset=True,
            )
            m.d.sync += [high.eq(accumulator.sum[j][16:]), second.eq(raw_row)]
            raw = Mux(second, high, accumulator.sum[j][:16])
            m.d.comb += [
                accumulator.bias[j].eq(bias),
                lane.acc.eq(accumulator.sum[j]),
                lane.multiplier.eq(used[:MULTIPLIER_BITS]),
                lane.shift.eq(used[MULTIPLIER_BITS:]),
                lane.residual.eq(residual),
                lane.residual_en.eq(residual_en),
                lane.residual_shift.eq(Mux(fresh, held, used)[MULTIPLIER_BITS:]),
                lane.setup.eq(mode.setup),
                table.address[j].eq(
                    Cat(lane.result[:8], mode.table)[: len(table.address[j])]
                ),
                self.result[j].eq(
                    Mux(mode.raw, raw, Mux(mode.table_enable, looked_up, value))
                ),
            ]
        return m
