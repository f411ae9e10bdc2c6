"""The weight-stationary systolic array."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..repeat import KEEP, repeated
from ..target import check_target
from .packed import PackedColumnPair

__all__ = ["PSUM_BITS", "REGION_ROWS", "Array", "ColumnPair", "psum_bits"]

PSUM_BITS = 16
#: Rows of a column pair that share the registers of `shift` and `copy`.
REGION_ROWS = 4


def psum_bits(config: AcceleratorConfig) -> int:
    """Bits of a column's sum of R int8 products: each product lies in -128*127..128*128."""
    return PSUM_BITS + (config.rows - 1).bit_length()


class ColumnPair(wiring.Component):
    """Two columns of R multiply-accumulate cells, in portable form.

    Three weight levels per cell: the `chain` that shifts weights in, A1 that takes the chain in one
    copy pulse, and A2 that the multiplier uses and that takes A1 when the activation wavefront
    brings `swap`. Row r sees its activation r cycles after row 0, so partial sums move down one
    row a cycle.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    act : In(ArrayLayout(signed(8), R)), swap : In(R)
        Activations and swap flags, row r skewed by r cycles.
    act_next, swap_next : Out
        The same, one cycle later: the next pair's inputs.
    weight : In(ArrayLayout(8, 2 * L))
        Next weights of segment g: column 0 at 2g, column 1 at 2g + 1.
    shift, copy : In(R / REGION_ROWS)
        Per region of rows, alike in those of a segment: shift `weight` in; copy the chain (before
        the shift of this cycle) to A1.
    psum : Out(ArrayLayout(signed(psum_bits), 2))
        Column sums.

    Latency
    -------
    R + 2 cycles from row 0's activation to `psum`; one row a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        rows, segments = config.rows, config.weight_rows_per_cycle
        super().__init__(
            {
                "act": In(data.ArrayLayout(signed(8), rows)),
                "swap": In(rows),
                "act_next": Out(data.ArrayLayout(signed(8), rows)),
                "swap_next": Out(rows),
                "weight": In(data.ArrayLayout(8, 2 * segments)),
                "shift": In(rows // REGION_ROWS),
                "copy": In(rows // REGION_ROWS),
                "psum": Out(data.ArrayLayout(signed(psum_bits(config)), 2)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, h = self.config.rows, self.config.tile_words
        act = [Signal(signed(8), name=f"act{r}", reset_less=True) for r in range(rows)]
        swap = Signal(rows, reset_less=True, attrs=KEEP)
        m.d.sync += [a.eq(self.act[r]) for r, a in enumerate(act)]
        m.d.sync += swap.eq(self.swap)
        m.d.comb += [self.act_next.as_value().eq(Cat(act)), self.swap_next.eq(swap)]

        # Per segment one chain for both columns: 16 bits a row; word j of a tile ends up at row j.
        held = []
        for g in range(self.config.weight_rows_per_cycle):
            chain = Signal(16 * h, name=f"chain{g}", reset_less=True)
            a1 = Signal(16 * h, name=f"copied{g}", reset_less=True)
            shifted = Cat(chain[16:], self.weight[2 * g], self.weight[2 * g + 1])
            for first in range(0, h, REGION_ROWS):
                region = (g * h + first) // REGION_ROWS
                here = slice(16 * first, 16 * (first + REGION_ROWS))
                with m.If(self.shift[region]):
                    m.d.sync += chain[here].eq(shifted[here])
                with m.If(self.copy[region]):
                    m.d.sync += a1[here].eq(chain[here])
            held.append(a1)
        a1 = Cat(held)

        above: list[Value] = [Const(0), Const(0)]
        for r in range(rows):
            active = Signal(16, name=f"active{r}", reset_less=True)
            with m.If(self.swap[r]):
                m.d.sync += active.eq(a1[16 * r : 16 * r + 16])
            for j in range(2):
                product = Signal(signed(16), name=f"product{r}_{j}", reset_less=True)
                psum = Signal(signed(psum_bits(self.config)), name=f"psum{r}_{j}", reset_less=True)
                m.d.sync += [
                    product.eq(act[r] * active[8 * j : 8 * j + 8].as_signed()),
                    psum.eq(above[j] + product),
                ]
                above[j] = psum
        m.d.comb += [self.psum[j].eq(above[j]) for j in range(2)]
        return m


class Array(wiring.Component):
    """R x C cells as C/2 column pairs; weights, shifts and copies are delayed a cycle per pair, as
    the activations are, which is what makes the tile period exactly max(M, R/L).

    Parameters
    ----------
    config : AcceleratorConfig
    target : str
        Form of the cells, see ``target.TARGETS``.

    Members
    -------
    act : In(ArrayLayout(signed(8), R)), swap : In(1)
        One row of activations, not skewed; `swap` with the first row of a tile.
    weight : In(ArrayLayout(8, L * C))
        One weight buffer word (byte g*C + c); segment g arrives g*R/L cycles after segment 0.
    shift, copy : In(R / L / REGION_ROWS)
        Take `weight` (segment 0); copy the complete chain to A1. One bit for every region of rows
        of a segment, all alike: none of them has many loads. Delayed inside for further segments.
    psum : Out(ArrayLayout(signed(psum_bits), C))
        Column sums; pair p is p cycles later than pair 0.

    Latency
    -------
    ``LATENCY`` cycles from `act` to `psum` of pair 0, one more per pair: R + 2 with portable cells,
    R + 3 with packed ones. One row a cycle.

    Rules
    -----
    With ``s`` the cycle of a tile's first row and ``c`` that of its copy: c < s, and c >= s' + R/L
    - 1 where s' is the previous tile's first row; the R/L shifts of a tile lie after the previous
    copy (or in its cycle) and before its own.

    Source
    ------
    Kung, Why systolic architectures?, IEEE Computer 15(1), 1982: weights stay. Jouppi et al.,
    arXiv:1704.04760, section 2: the next tile shifts in behind the one at work.
    """

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        self.packing = check_target(target)
        self.LATENCY = config.rows + (3 if self.packing else 2)
        super().__init__(
            {
                "act": In(data.ArrayLayout(signed(8), config.rows)),
                "swap": In(1),
                "weight": In(data.ArrayLayout(8, config.weight_word_bytes)),
                "shift": In(config.tile_words // REGION_ROWS),
                "copy": In(config.tile_words // REGION_ROWS),
                "psum": Out(data.ArrayLayout(signed(psum_bits(config)), config.cols)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        segments, h = cfg.weight_rows_per_cycle, cfg.tile_words

        # Skew: row r enters r cycles late.
        act = Cat(
            delay(m, self.act[r].as_unsigned(), r, name=f"skew{r}") for r in range(cfg.rows)
        )
        # Every pair and row has its own register of `swap`: equal ones would be one, far away.
        swap_line = Signal(cfg.rows, reset_less=True, attrs=KEEP)
        swap = Cat(self.swap, swap_line[: cfg.rows - 1])
        m.d.sync += swap_line.eq(swap)

        # Segment g follows h cycles behind segment g - 1, as its rows do.
        regions = h // REGION_ROWS

        def by_region(first: Value, name: str) -> Value:
            later = (delay(m, first[0], g * h - 1, name=f"{name}_{g}") for g in range(1, segments))
            copies = [
                repeated(m, value, regions, name=f"{name}{g}_")
                for g, value in enumerate(later, start=1)
            ]
            return Cat(first, *copies)

        shift, copy = by_region(self.shift, "shift"), by_region(self.copy, "copy")

        act_in: Value = act
        swap_in: Value = swap
        control: Value = Cat(shift, copy)
        for p in range(cfg.cols // 2):
            pair: ColumnPair | PackedColumnPair = (
                PackedColumnPair(cfg, self.packing, psum_bits(cfg), REGION_ROWS)
                if self.packing
                else ColumnPair(cfg)
            )
            m.submodules[f"pair{p}"] = pair
            weight = Cat(
                self.weight[g * cfg.cols + 2 * p + j] for g in range(segments) for j in range(2)
            )
            m.d.comb += [
                pair.act.as_value().eq(act_in),
                pair.swap.eq(swap_in),
                pair.weight.as_value().eq(delay(m, weight, p, name=f"weight_skew{p}")),
                Cat(pair.shift, pair.copy).eq(control),
                self.psum[2 * p].eq(pair.psum[0]),
                self.psum[2 * p + 1].eq(pair.psum[1]),
            ]
            act_in, swap_in = pair.act_next.as_value(), pair.swap_next
            following = Signal(len(control), name=f"control{p}", reset_less=True, attrs=KEEP)
            m.d.sync += following.eq(control)
            control = following
        return m
