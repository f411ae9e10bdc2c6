"""Proofs: a burst never crosses a stripe, and stays in its transfer, in the arena and on chip."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from weft_hw.config import PRESETS
from weft_hw.dma.layouts import transfer_layout
from weft_hw.dma.walker import Walker
from weft_hw.isa import Space, space_words

from .sby import prove


class Harness(wiring.Component):
    """A walker with any transfers, any stalls and an arena of any size that does not change."""

    def __init__(self, config, port):
        self.config, self.port = config, port
        super().__init__(
            {
                "transfer": In(stream.Signature(transfer_layout(config))),
                "ready": In(1),
                "arena_bytes": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.walker = walker = Walker(config, self.port)
        wiring.connect(m, wiring.flipped(self.transfer), walker.transfer)
        arena, started = Signal(32), Signal()
        m.d.sync += [arena.eq(self.arena_bytes), started.eq(1)]
        m.d.comb += [
            walker.arena_bytes.eq(self.arena_bytes),
            walker.piece.ready.eq(self.ready),
            Assume(~started | (arena == self.arena_bytes)),
        ]
        piece, valid = walker.piece.payload, walker.piece.valid
        held, before = Signal(), Signal.like(piece)
        m.d.sync += [held.eq(valid & ~self.ready), before.eq(piece)]
        with m.If(held):
            m.d.comb += [Assert(valid), Assert(before.as_value() == piece.as_value())]
        with m.If(valid & (piece.beats != 0)):
            m.d.comb += Assert((piece.offset + piece.beats) * config.beat_bytes <= arena)
            with m.Switch(piece.space):
                for space in Space:
                    with m.Case(space):
                        end = (piece.chip + piece.beats) * config.beat_bytes
                        m.d.comb += Assert(end <= 4 * space_words(space, config))
        return m


@pytest.mark.parametrize(
    ("name", "port"), [("pynq-z2", 0), ("pynq-z2", 1), ("kv260", 2), ("tiny", 0)]
)
def test_walker(name, port, tmp_path):
    prove(Harness(PRESETS[name], port), tmp_path, depth=3)
