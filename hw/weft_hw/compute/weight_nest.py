"""The weight nest: the words of every tile, one tile ahead of the rows."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, StartLayout, field, vector
from ..isa import LOOP_LEVELS, Opcode
from .nest import AddressGenerator, LoopNest

__all__ = ["WEIGHT_ADDRESS_BITS", "WeightNest"]

MATMUL = Opcode.MATMUL
#: Bits of the address of a weight word, past the end of the buffer, too.
WEIGHT_ADDRESS_BITS = 15


class WeightNest(wiring.Component):
    """Follows the tile loops of each MATMUL, and runs on into the next.

    A complete chain moves to A1 (`copy`) once A1's tile has begun, R/L - 1 cycles ago or more, so
    that the copy of one tile never meets the swap of the tile before.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    held : In(StartLayout)
        The MATMUL held ready.
    tile_mask : In(LOOP_LEVELS)
        Its levels inside a tile.
    valid : In(1)
        It has not been taken yet.
    taken : Out(1)
        It is taken in this cycle.
    tile_ready : Out(1)
        A1 holds a tile that has not begun.
    tile_start : In(1)
        The tile in A1 begins with the row of this cycle.
    weight_en : Out(1)
        Read a weight word; its data shift into the array.
    weight_address : Out(WEIGHT_ADDRESS_BITS)
        Its address; it may lie past the end.
    copy : Out(1)
        The chain moves to A1.
    index : Out(INDEX_BITS)
        The instruction that `weight_address` belongs to.

    Latency
    -------
    2 cycles from `valid` to the first `weight_en`; one word a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._tile_words = config.tile_words
        super().__init__(
            {
                "held": In(StartLayout),
                "tile_mask": In(LOOP_LEVELS),
                "valid": In(1),
                "taken": Out(1),
                "tile_ready": Out(1),
                "tile_start": In(1),
                "weight_en": Out(1),
                "weight_address": Out(WEIGHT_ADDRESS_BITS),
                "copy": Out(1),
                "index": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        h, word = self._tile_words, self.held.word
        m.submodules.nest = nest = LoopNest()
        m.submodules.base = base = AddressGenerator(14, 15, tuple(range(1, LOOP_LEVELS)))
        active = Signal()
        index = Signal(INDEX_BITS, reset_less=True)
        jumps = Signal(data.ArrayLayout(signed(15), LOOP_LEVELS), reset_less=True)
        in_tile = Signal(range(h))  # word of the tile
        chain = Signal(range(h + 1))  # words of the tile that is in the chain
        since = Signal(range(h), init=h - 1)  # cycles since a tile began, up to h - 1
        # `chain == h`, `~tile_ready & (since == h - 1)` and `in_tile == h - 1`, as registers:
        # whether to shift, and whether a tile ends with it, decides a lot.
        full, a1_free, at_end = Signal(), Signal(init=1), Signal(init=h == 1)
        copy = full & a1_free
        shift = active & (~full | a1_free)
        tile_done = shift & at_end
        m.d.comb += [
            self.taken.eq(self.valid & (~active | (tile_done & nest.last))),
            nest.load.eq(self.taken),
            nest.begin.eq(self.valid & ~active),
            nest.step.eq(tile_done),
            base.load.eq(self.taken),
            base.base.eq(field(word, MATMUL, "weight_address")),
            base.step.eq(tile_done),
            base.level.eq(nest.level),
            base.jumps.eq(jumps),
        ]
        for i, count in enumerate(vector(word, MATMUL, "count")):
            m.d.comb += nest.counts[i].eq(Mux(self.tile_mask[i], 1, count))
        with m.If(shift):
            # h is a power of two.
            m.d.sync += [in_tile.eq(in_tile + 1), at_end.eq(in_tile == (h - 2) % h)]
        with m.If(copy):
            m.d.sync += [chain.eq(shift), full.eq(shift if h == 1 else 0)]
        with m.Elif(shift):
            m.d.sync += [chain.eq(chain + 1), full.eq(chain == h - 1)]
        with m.If(self.taken):
            m.d.sync += [active.eq(1), index.eq(self.held.index)]
            for i, jump in enumerate(vector(word, MATMUL, "weight_jump")):
                if jump is not None:
                    m.d.sync += jumps[i].eq(jump)
        with m.Elif(tile_done & nest.last):
            m.d.sync += active.eq(0)

        # Where the nests meet.
        with m.If(self.tile_start):
            m.d.sync += [
                self.tile_ready.eq(0), since.eq(1 if h > 1 else 0), a1_free.eq(h <= 2)
            ]
        with m.Else():
            with m.If(since != h - 1):
                m.d.sync += since.eq(since + 1)
            m.d.sync += a1_free.eq(~self.tile_ready & ((since == h - 1) | (since == h - 2)))
            with m.If(copy):
                m.d.sync += [self.tile_ready.eq(1), a1_free.eq(0)]

        # What leaves, registered.
        address = Signal(WEIGHT_ADDRESS_BITS, reset_less=True)
        index_out = Signal(INDEX_BITS, reset_less=True)
        m.d.sync += [
            self.weight_en.eq(shift),
            address.eq(base.address + in_tile),
            index_out.eq(index),
            self.copy.eq(copy),
        ]
        m.d.comb += [self.weight_address.eq(address), self.index.eq(index_out)]
        return m
