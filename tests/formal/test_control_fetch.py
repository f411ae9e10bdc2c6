"""Proof, for ever: fetch asks for what it has room for, and for what lies in program and arena.

Any program, any size of the arena, that do not change; any stalls of requests, beats and
instructions; beats come only for bursts that were accepted. Left to the benches is the order of the
beats in a word: the data are not looked at here.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, C, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.control.fetch import BUFFER_BURSTS, Fetch
from weft_hw.isa import INSTRUCTION_BYTES, ErrorCode

from .inside import mutant, opened
from .sby import Refuted, prove

SOLVER = "--unroll z3"
CAPACITY = BUFFER_BURSTS * BURST_BEATS


class Harness(wiring.Component):
    def __init__(self, config, *, block: type[Fetch] = Fetch, cover: bool = False):
        self._config, self._block, self._cover = config, block, cover
        super().__init__(
            {
                "ready": In(1),
                "arrives": In(1),
                "program_offset": In(32),
                "program_length": In(24),
                "arena_bytes": In(32),
                "stop": In(1),
                "o_ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._block(self._config)
        buffer = opened(dut).submodules.buffer
        constants = Cat(self.program_offset, self.program_length, self.arena_bytes)
        before, started = Signal(len(constants)), Signal()
        m.d.sync += [before.eq(constants), started.eq(1)]
        owed = Signal(8)  # beats that were asked for, and have not come
        asks = dut.fetch_valid & self.ready
        m.d.sync += owed.eq(owed + Mux(asks, dut.fetch_beats, 0) - self.arrives)
        m.d.comb += [
            dut.fetch_ready.eq(self.ready), dut.fetch_data_valid.eq(self.arrives),
            dut.program_offset.eq(self.program_offset),
            dut.program_length.eq(self.program_length),
            dut.arena_bytes.eq(self.arena_bytes),
            dut.stop.eq(self.stop), dut.o.ready.eq(self.o_ready),
            Assume(~started | (before == constants)),
            Assume(~self.arrives | (owed != 0)),
            # There is always room for what was asked for, and what is asked for.
            Assert(owed + buffer.level + Mux(dut.fetch_valid, dut.fetch_beats, 0) <= CAPACITY),
            Assert(~self.arrives | buffer.w_rdy),
            Assert(dut.idle == (~dut.fetch_valid & (owed == 0))),
        ]

        # A request stays until it is taken; none begins in a stop.
        request, last, held = Cat(dut.fetch_offset, dut.fetch_beats), Signal(37), Signal()
        quiet = Signal()
        m.d.sync += [
            last.eq(request), held.eq(dut.fetch_valid & ~self.ready),
            quiet.eq(self.stop & ~dut.fetch_valid),
        ]
        m.d.comb += [
            Assert(~held | (dut.fetch_valid & (last == request))),
            Assert(~quiet | ~dut.fetch_valid),
        ]

        # Positions in instructions; `base` is the program's first.
        beats = INSTRUCTION_BYTES // self._config.beat_bytes  # of an instruction
        shift = (beats - 1).bit_length()
        per_burst = BURST_BEATS // beats
        unit = (INSTRUCTION_BYTES - 1).bit_length()
        base, limit = Signal(27), Signal(27)
        first, count = dut.fetch_offset[unit:], dut.fetch_beats[shift:]
        m.d.comb += [
            base.eq(self.program_offset[8:] << (8 - unit)), limit.eq(self.arena_bytes[unit:])
        ]
        with m.If(dut.fetch_valid):
            m.d.comb += [
                Assert(dut.fetch_offset[:unit] == 0),
                Assert(dut.fetch_beats[:shift] == 0),
                Assert((count != 0) & (count <= per_burst)),
                # In one stripe, in the arena, in the program.
                Assert(first % per_burst + count <= per_burst),
                Assert(first + count <= limit),
                Assert(first >= base),
                Assert(first + count <= base + self.program_length),
            ]

        # Each instruction in the arena once, in order; then why there is none.
        index = Signal(24)
        m.d.sync += index.eq(index + (dut.o.valid & self.o_ready & (dut.o.payload.code == 0)))
        with m.If(dut.o.valid):
            m.d.comb += Assert(dut.o.payload.index == index)
            with m.Switch(dut.o.payload.code):
                with m.Case(ErrorCode.NONE):
                    m.d.comb += Assert(index < self.program_length)
                    m.d.comb += Assert(base + index < limit)
                with m.Case(ErrorCode.PROGRAM_END):
                    m.d.comb += Assert(index == self.program_length)
                with m.Case(ErrorCode.ARENA):
                    m.d.comb += Assert(index < self.program_length)
                    m.d.comb += Assert(base + index >= limit)
                with m.Default():
                    m.d.comb += Assert(C(0, 1))

        self.invariants(m, dut, buffer, owed, index, base, limit, first, count, beats, per_burst)
        if self._cover:
            m.d.comb += [
                Cover((owed == 2 * BURST_BEATS) & (buffer.level == 1)),
                Cover(dut.o.valid & (index == 1) & (dut.o.payload.code == ErrorCode.ARENA)),
                Cover(dut.o.valid & (index == 1) & (dut.o.payload.code == ErrorCode.PROGRAM_END)),
            ]
        return m

    def invariants(
        self, m, dut, buffer, owed, index, base, limit, first, count, beats, per_burst
    ):
        """What the registers hold."""
        state = dut.state
        asked, fault, prepared = state["asked"], state["fault"], state["prepared"]
        length, remaining = self.program_length, Signal(24)
        # `asked` counts a request from its beginning, or from when it is taken.
        late = "compared" in state
        pending = Mux(dut.fetch_valid, count, 0)
        requested, accepted, rounded = Signal(25), Signal(25), Signal(28)
        m.d.comb += [
            requested.eq(asked + pending if late else asked),
            accepted.eq(asked if late else asked - pending),
            remaining.eq(length - asked),
            rounded.eq((requested + per_burst - 1) // per_burst * per_burst),
            Assert(state["expected"] == owed),
            Assert(state["credit"] + owed + buffer.level == CAPACITY),
            Assert(~dut.fetch_valid | (state["credit"] >= BURST_BEATS)),
            Assert(asked <= length),
            Assert(requested <= length),
            Assert(~dut.fetch_valid | (first + count == base + requested)),
            Assert((state["index"] == index) & (index <= accepted)),
            # Whole bursts until the program or the arena ends.
            Assert(
                (requested % per_burst == 0) | (requested == length)
                | (base + Mux(rounded < length, rounded, length) > limit)
            ),
            Assert(~fault | ((asked < length) & (base + asked >= limit) & ~dut.fetch_valid)),
            Assert((accepted - index) * beats == state["filled"] + buffer.level + owed),
            Assert(state["filled"] <= beats),
            Assert((asked == 0) | (base + requested <= limit)),
        ]
        with m.If(prepared):
            m.d.comb += [
                Assert(state["position"] == base + asked),
                Assert(state["size"] == Mux(remaining < per_burst, remaining, per_burst)),
                Assert(remaining != 0),
            ]
        if late:
            m.d.comb += [
                Assert(~dut.fetch_valid | (prepared & state["compared"])),
                Assert(~dut.fetch_valid | (state["count"] == count)),
                Assert(~state["compared"] | prepared),
                Assert(~state["compared"] | (state["left"] == limit - (base + asked))),
                Assert(
                    ~state["exhausted"]
                    | ((index == asked) & ((asked == length) | fault) & ~dut.fetch_valid)
                ),
            ]


@pytest.mark.parametrize("preset", ["pynq-z2", "kv260"])
def test_requests(preset, tmp_path):
    prove(Harness(PRESETS[preset]), tmp_path, depth=4, solver=SOLVER)


def test_reachable(tmp_path):
    prove(Harness(PRESETS["kv260"], cover=True), tmp_path, mode="cover", depth=16, solver=SOLVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("credit.eq(credit - taken + popped)", "credit.eq(credit - (taken != 0) + popped)"),
        ("Mux(remaining < per_burst, remaining, per_burst)", "per_burst"),
    ],
)
def test_broken_fetches_are_refuted(old, new, tmp_path):
    harness = Harness(PRESETS["kv260"], block=mutant(Fetch, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=8, solver=SOLVER)
