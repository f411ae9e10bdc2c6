"""Proofs, for ever: a burst stays in its stripe, its transfer, the arena and the memory on chip."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from amaranth.hdl import Assert, Assume, C, Cat, Cover, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from inside import mutant, opened
from sby import Refuted, prove
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.dma.layouts import length_bits, transfer_layout
from weft_hw.dma.walker import Walker
from weft_hw.isa import Space, space_words


def invariants(m, config, port, walker):
    """What holds in every state that can be reached; it makes the properties inductive.

    `progress` counts beats from the row's start, of the run, the burst and the piece.
    """
    inside = SimpleNamespace(**opened(walker).names)
    fsm, advance, walk = inside.fsm, inside.advance, inside.walk
    running = fsm.ongoing("Run")
    group, dram_bits, width = inside.group_bits, inside.dram_bits, length_bits(config) + 1
    start = Signal(dram_bits)
    progress = [Signal(width, name=f"{stage}_progress") for stage in ("run", "burst", "piece")]
    length = [Signal(width, name=f"{stage}_length") for stage in ("burst", "piece")]
    with m.If(fsm.ongoing("Row")):
        m.d.sync += [start.eq(inside.row_offset), progress[0].eq(inside.skip)]
    with m.Elif(running & advance):
        m.d.sync += progress[0].eq(progress[0] + inside.step)
    with m.If(advance):
        m.d.sync += [
            Cat(progress[1:]).eq(Cat(progress[:2])),
            Cat(length).eq(Cat(walk.length | C(0, width), length[0])),
        ]
    m.d.comb += Assert(fsm.state != 3)
    # What a row skips, and where a run stands in its stripe, are worked out a cycle ahead.
    ports, at = config.axi_ports, inside.row_offset
    ahead = (port - at[4:group]) & (ports - 1)
    with m.If(fsm.ongoing("Row")):
        m.d.comb += [
            Assert(inside.skip == Mux(ahead == 0, 0, ahead * BURST_BEATS - at[:4])),
            Assert(inside.skip_into == Mux(ahead == 0, at[:4], 0)),
        ]
    with m.If(running):
        m.d.comb += [
            Assert(inside.into == inside.offset[:4]),
            Assert(inside.room == BURST_BEATS - inside.offset[:4]),
        ]
    with m.If(running):
        m.d.comb += [
            Assert(inside.left + progress[0] == walk.length),
            Assert(inside.offset[:dram_bits] == (start + progress[0])[:dram_bits]),
        ]
        with m.If(inside.left > 0):
            m.d.comb += Assert(inside.offset[4:group] == port)
    burst, valid = inside.burst, inside.burst_valid
    for space in Space:
        beats = space_words(space, config) * 4 // config.beat_bytes
        with m.If((running | fsm.ongoing("Row")) & (walk.space == space)):
            m.d.comb += Assert(inside.limit == beats)
        with m.If(valid & (burst.space == space)):
            m.d.comb += Assert(inside.chip_room == beats - burst.chip)
    stripe, last = burst.offset[4:], inside.arena_end[4:]
    with m.If(valid & ~inside.stripe_past):
        m.d.comb += [Assert(stripe <= last), Assert(inside.stripe_last == (stripe == last))]
    with m.If(valid & (burst.beats != 0)):
        m.d.comb += Assert(inside.end_in_stripe == burst.offset[:4] + burst.beats)
    stages = ((valid, burst), (inside.piece_valid, inside.piece))
    for k, (has, part) in enumerate(stages):
        with m.If(has & (part.beats != 0)):
            m.d.comb += [
                Assert(part.offset[:4] + part.beats <= BURST_BEATS),
                Assert(part.offset[4:group] == port),
                Assert(progress[k + 1] + part.beats <= length[k]),
            ]


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
        invariants(m, config, self.port, walker)
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
        ("room.eq(BURST_BEATS - skip_into)", "room.eq(BURST_BEATS)"),
        ("outside.eq(leaves_arena | leaves_chip)", "outside.eq(leaves_chip)"),
        ("outside.eq(leaves_arena | leaves_chip)", "outside.eq(leaves_arena)"),
    ],
)
def test_broken_walkers_are_refuted(old, new, tmp_path):
    harness = Harness(PRESETS["pynq-z2"], 1, block=mutant(Walker, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=10)
