"""Proofs, for ever: a burst stays in its stripe, its transfer, the arena and the memory on chip."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from inside import mutant
from sby import Refuted, prove
from weft_hw.config import PRESETS
from weft_hw.dma.layouts import transfer_layout
from weft_hw.dma.walker import Walker
from weft_hw.isa import Space, space_words


class Harness(wiring.Component):
    """A walker with any transfers, any stalls and an arena of any size that does not change."""

    def __init__(self, config, port, *, block: type[Walker] = Walker, cover: bool = False):
        self.config, self.port, self._block, self._cover = config, port, block, cover
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
        m.submodules.walker = walker = self._block(config, self.port)
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
        if self._cover:
            m.d.comb += [
                Cover(valid & piece.last & (piece.beats == 5) & (piece.offset[:4] == 11)),
                Cover(walker.fault.valid),
            ]
        return m


@pytest.mark.parametrize(
    ("name", "port"), [("pynq-z2", 0), ("pynq-z2", 1), ("kv260", 2), ("tiny", 0)]
)
def test_walker(name, port, tmp_path):
    prove(Harness(PRESETS[name], port), tmp_path, depth=3)


def test_reachable(tmp_path):
    """A short burst at the end of a stripe, and a fault."""
    prove(Harness(PRESETS["pynq-z2"], 1, cover=True), tmp_path, mode="cover", depth=12)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("room.eq(BURST_BEATS - into)", "room.eq(BURST_BEATS)"),
        ("outside.eq(leaves_arena | leaves_chip)", "outside.eq(leaves_chip)"),
        ("outside.eq(leaves_arena | leaves_chip)", "outside.eq(leaves_arena)"),
    ],
)
def test_broken_walkers_are_refuted(old, new, tmp_path):
    harness = Harness(PRESETS["pynq-z2"], 1, block=mutant(Walker, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=10)
