"""Proof, for ever: a fetch burst reaches a port unchanged, once, and only if it lies in the arena.

Any requests, any stalls; any size of the arena that does not change.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant
from sby import Refuted, prove
from weft_hw.config import PRESETS
from weft_hw.dma.fetch import Fetch

SOLVER = "--unroll z3"


class Harness(wiring.Component):
    def __init__(self, config, *, block: type[Fetch] = Fetch, cover: bool = False):
        self._config, self._block, self._cover = config, block, cover
        super().__init__(
            {
                "offset": In(32),
                "beats": In(5),
                "valid": In(1),
                "ready": In(1),
                "arena_bytes": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beat_bytes = self._config.beat_bytes
        m.submodules.dut = dut = self._block(self._config)
        burst = dut.burst
        arena, started = Signal(32), Signal()
        m.d.sync += [arena.eq(self.arena_bytes), started.eq(1)]
        m.d.comb += [
            dut.offset.eq(self.offset),
            dut.beats.eq(self.beats),
            dut.valid.eq(self.valid),
            dut.arena_bytes.eq(self.arena_bytes),
            burst.ready.eq(self.ready),
            Assume(~started | (arena == self.arena_bytes)),
            Assume(self.offset % beat_bytes == 0),
        ]

        # The last request that was accepted, and whether it lies in the arena.
        accepted = self.valid & dut.ready & ~dut.outside
        offset, beats, inside = Signal(32), Signal(5), Signal()
        with m.If(accepted):
            m.d.sync += [offset.eq(self.offset), beats.eq(self.beats)]
        m.d.comb += inside.eq(offset + beats * beat_bytes <= self.arena_bytes)

        # One cycle of check; then it is offered until taken, or refused for ever.
        checking, offered, refused = Signal(), Signal(), Signal()
        m.d.sync += [
            checking.eq(accepted),
            offered.eq((checking & inside) | (offered & ~self.ready)),
            refused.eq(refused | (checking & ~inside)),
        ]
        m.d.comb += [
            Assert(dut.ready == ~(checking | offered)),
            Assert(burst.valid == offered),
            Assert(dut.outside == refused),
            Assert(~refused | ~(checking | offered)),
        ]
        with m.If(burst.valid):
            m.d.comb += [
                Assert(burst.payload.offset * beat_bytes == offset),
                Assert(burst.payload.beats == beats),
                Assert(inside),
            ]
        if self._cover:
            m.d.comb += [Cover(burst.valid & (beats == 16)), Cover(dut.outside & (offset != 0))]
        return m


@pytest.mark.parametrize("preset", ["pynq-z2", "kv260"])
def test_arena(preset, tmp_path):
    prove(Harness(PRESETS[preset]), tmp_path, depth=3, solver=SOLVER)


def test_reachable(tmp_path):
    prove(Harness(PRESETS["tiny"], cover=True), tmp_path, mode="cover", depth=6, solver=SOLVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("end > self.arena_bytes[beat_shift:]", "end >= self.arena_bytes[beat_shift:]"),
        ("end.eq(self.offset[beat_shift:] + self.beats)", "end.eq(self.offset[beat_shift:])"),
    ],
)
def test_broken_checks_are_refuted(old, new, tmp_path):
    harness = Harness(PRESETS["tiny"], block=mutant(Fetch, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=5, solver=SOLVER)
