"""Two columns of the array on DSP48 blocks, one block for two cells."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..repeat import KEEP
from ..target import Packing
from .dsp import DspCell

__all__ = ["PackedColumnPair", "pack"]


def pack(weight: Value, packing: Packing) -> Value:
    """``(w1 << shift) + w0`` of a 16-bit word that holds w0 and, above it, w1 - (w0 < 0)."""
    return Cat(weight[:8], weight[7].replicate(packing.shift - 8), weight[8:16]).as_signed()


class PackedColumnPair(wiring.Component):
    """The members of ``array.ColumnPair``, with one DSP48 per row.

    The chain holds packed pairs: w0 and w1 - (w0 < 0), so that what goes into a cell is wiring. A1
    and A2 are the operand registers of the DSP48. Rows are cut into cascades; behind each of them
    the two sums part and are added to those of the cascade above.

    Members
    -------
    act, swap, weight, shift, copy : In
        As those of ``array.ColumnPair``.
    act_next, swap_next, psum : Out
        Likewise.

    Rules
    -----
    Weights lie in -127..127.

    Latency
    -------
    R + 3 cycles from row 0's activation to `psum`, one more than the portable form; a row a cycle.

    Source
    ------
    WP486, Xilinx: two int8 products that share an operand in one DSP48.
    """

    def __init__(
        self, config: AcceleratorConfig, packing: Packing, psum_bits: int, region: int
    ) -> None:
        self.config = config
        self.region = region
        self.packing = packing
        self.psum_bits = psum_bits
        rows, segments = config.rows, config.weight_rows_per_cycle
        super().__init__(
            {
                "act": In(data.ArrayLayout(signed(8), rows)),
                "swap": In(rows),
                "act_next": Out(data.ArrayLayout(signed(8), rows)),
                "swap_next": Out(rows),
                "weight": In(data.ArrayLayout(8, 2 * segments)),
                "shift": In(rows // self.region),
                "copy": In(rows // self.region),
                "psum": Out(data.ArrayLayout(signed(psum_bits), 2)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, h = self.config.rows, self.config.tile_words
        packing = self.packing
        act = Signal(8 * rows, reset_less=True)
        swap = Signal(rows, reset_less=True, attrs=KEEP)
        m.d.sync += [act.eq(self.act.as_value()), swap.eq(self.swap)]
        m.d.comb += [self.act_next.as_value().eq(act), self.swap_next.eq(swap)]

        chains = []
        for g in range(self.config.weight_rows_per_cycle):
            chain = Signal(16 * h, name=f"chain{g}", reset_less=True)
            low, high = self.weight[2 * g], Signal(8, name=f"high{g}")
            m.d.comb += high.eq(self.weight[2 * g + 1] - low[7])
            shifted = Cat(chain[16:], low, high)
            for first in range(0, h, self.region):
                here = slice(16 * first, 16 * (first + self.region))
                with m.If(self.shift[(g * h + first) // self.region]):
                    m.d.sync += chain[here].eq(shifted[here])
            chains.append(chain)
        weights = Cat(chains)

        bits, size = packing.shift, packing.cascade
        before: list[Value] = []
        for first in range(0, rows, size):
            above: DspCell | None = None
            for r in range(first, first + size):
                cell = DspCell(packing, head=above is None)
                m.submodules[f"cell{r}"] = cell
                m.d.comb += [
                    cell.weight.eq(pack(weights[16 * r : 16 * r + 16], packing)),
                    cell.act.eq(self.act[r]),
                    cell.copy.eq(self.copy[r // self.region]),
                    cell.swap.eq(self.swap[r]),
                ]
                if above is not None:
                    m.d.comb += cell.above.eq(above.sum)
                above = cell
            # The head added half of the lower field: its top bit is inverted, and nothing was
            # borrowed from the upper field.
            assert above is not None, "a cascade has rows"
            total = above.total
            parts = [
                Cat(total[: bits - 1], ~total[bits - 1]).as_signed(),
                total[bits : 2 * bits].as_signed(),
            ]
            sums: list[Value] = []
            for j, part in enumerate(parts):
                width = min(self.psum_bits, 16 + (first + size - 1).bit_length())
                value = Signal(signed(width), name=f"sum{first}_{j}", reset_less=True)
                m.d.sync += value.eq(part + before[j] if before else part)
                sums.append(value)
            last = first + size == rows
            before = [
                s if last else delay(m, s, size - 1, name=f"wait{first}_{j}")
                for j, s in enumerate(sums)
            ]
        m.d.comb += [self.psum[j].eq(before[j]) for j in range(2)]
        return m
