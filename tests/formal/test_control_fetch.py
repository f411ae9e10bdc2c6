"""Proofs, for ever: fetch asks for what it has room for, and for what lies in program and arena.

Any place of the program, any size of the arena, that do not change; programs of up to 15
instructions, which is several bursts, because the solver adds long numbers slowly. The order of the
beats in a word is left to the benches: the data are not looked at here.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, C, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant, opened
from sby import Refuted, prove
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.control.fetch import BUFFER_BURSTS, Fetch
from weft_hw.isa import INSTRUCTION_BYTES, ErrorCode

SOLVER = "--unroll z3"
CAPACITY = BUFFER_BURSTS * BURST_BEATS
UNIT = (INSTRUCTION_BYTES - 1).bit_length()
LENGTH_BITS = 4


class Harness(wiring.Component):
    """Any stalls; beats come only for bursts that were accepted; program and arena are constant."""

    def __init__(self, config, *, block: type[Fetch] = Fetch, cover: bool = False):
        self._config, self._block, self._cover = config, block, cover
        super().__init__(
            {
                "ready": In(1),
                "arrives": In(1),
                "program_offset": In(32),
                "program_length": In(LENGTH_BITS),
                "arena_bytes": In(32),
                "stop": In(1),
                "o_ready": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut = dut = self._block(self._config)
        inside = opened(dut)
        self.names, self.buffer = inside.names, inside.submodules.buffer
        constants = Cat(self.program_offset, self.program_length, self.arena_bytes)
        before, started = Signal(len(constants)), Signal()
        m.d.sync += [before.eq(constants), started.eq(1)]
        self.owed = Signal(8)  # beats that were asked for, and have not come
        asks = dut.port.valid & self.ready
        m.d.sync += self.owed.eq(self.owed + Mux(asks, dut.port.beats, 0) - self.arrives)
        m.d.comb += [
            dut.port.ready.eq(self.ready), dut.port.data_valid.eq(self.arrives),
            dut.program_offset.eq(self.program_offset),
            dut.program_length.eq(self.program_length),
            dut.arena_bytes.eq(self.arena_bytes),
            dut.stop.eq(self.stop), dut.o.ready.eq(self.o_ready),
            Assume(~started | (before == constants)),
            Assume(~self.arrives | (self.owed != 0)),
        ]
        # Positions in instructions; `base` is the program's first.
        self.beats = INSTRUCTION_BYTES // self._config.beat_bytes  # of an instruction
        self.base, self.limit = Signal(27), Signal(27)
        m.d.comb += [
            self.base.eq(self.program_offset[8:] << (8 - UNIT)),
            self.limit.eq(self.arena_bytes[UNIT:]),
        ]
        self.state(m)
        return m

    def state(self, m):
        """The properties, and what the registers hold."""
        raise NotImplementedError

    def requested(self):
        """Instructions that were asked for, without and with the request that waits."""
        asked = self.names["asked"][:LENGTH_BITS]
        count = self.dut.port.beats[(self.beats - 1).bit_length() :]
        pending = Mux(self.dut.port.valid, count, 0)
        return asked, asked + pending

    def hurry(self, m):
        """A shorter search for traces: nothing waits."""
        m.d.comb += [
            Assume(self.ready & self.o_ready & ~self.stop),
            Assume(self.arrives == (self.owed != 0)),
            Assume(self.program_offset == 0),
        ]

    def place(self, m, claim):
        """Where requests lie, and what the registers say about it; `claim` is Assert or Assume."""
        dut, names = self.dut, self.names
        base, limit, length = self.base, self.limit, self.program_length
        per_burst, shift = BURST_BEATS // self.beats, (self.beats - 1).bit_length()
        first, count = dut.port.offset[UNIT:], dut.port.beats[shift:]
        asked, remaining = names["asked"][:LENGTH_BITS], Signal(LENGTH_BITS)
        rounded, end = Signal(LENGTH_BITS + 2), Signal(28)
        _, requested = self.requested()
        with m.If(dut.port.valid):
            m.d.comb += [
                claim((dut.port.offset[:UNIT] == 0) & (dut.port.beats[:shift] == 0)),
                claim((count != 0) & (count <= per_burst)),
                claim(first % per_burst + count <= per_burst),
                claim(first + count <= limit),
                claim(first >= base),
                claim(first + count <= base + length),
                claim(first + count == base + requested),
            ]
        m.d.comb += [
            remaining.eq(length - asked),
            rounded.eq((requested + per_burst - 1) // per_burst * per_burst),
            end.eq(base + Mux(rounded < length, rounded, length)),
            claim(names["asked"] == asked),
            claim((asked <= length) & (requested <= length)),
            claim((asked == 0) | (base + requested <= limit)),
            # Whole bursts until the program or the arena ends.
            claim((requested % per_burst == 0) | (requested == length) | (end > limit)),
        ]
        with m.If(names["prepared"]):
            m.d.comb += claim(names["position"] == base + asked)
        with m.If(names["compared"]):
            m.d.comb += [
                claim(names["size"] == Mux(remaining < per_burst, remaining, per_burst)),
                claim(remaining != 0),
            ]
        m.d.comb += [
            claim(~names["fresh"] | ((asked == 0) & ~names["prepared"])),
            claim(names["fresh"] | (names["remaining"] == remaining)),
            claim(~dut.port.valid | (names["prepared"] & names["compared"])),
            claim(~dut.port.valid | (names["count"] == count)),
            claim(~names["compared"] | names["prepared"]),
            claim(~names["compared"] | (names["left"] == limit - (base + asked))),
        ]


class RoomHarness(Harness):
    """There is always room for what was asked for; a request stays until it is taken."""

    def state(self, m):
        dut, owed, level = self.dut, self.owed, self.buffer.level
        names = self.names
        # The counters know of a request a cycle after it is taken; until the next, they do.
        late = Signal(8)
        m.d.comb += late.eq(Mux(names["accepted"], dut.port.beats, 0))
        request, last, held = Cat(dut.port.offset, dut.port.beats), Signal(37), Signal()
        quiet = Signal()
        m.d.sync += [
            last.eq(request), held.eq(dut.port.valid & ~self.ready),
            quiet.eq(self.stop & ~dut.port.valid),
        ]
        m.d.comb += [
            Assert(owed + level + Mux(dut.port.valid, dut.port.beats, 0) <= CAPACITY),
            Assert(~self.arrives | self.buffer.w_rdy),
            Assert(dut.idle == (~dut.port.valid & (owed == 0))),
            Assert(~held | (dut.port.valid & (last == request))),
            Assert(~quiet | ~dut.port.valid),  # none begins in a stop
            Assert(names["expected"] + late == owed),
            Assert(names["credit"] + owed + level == CAPACITY + late),
            Assert(~names["accepted"] | ~names["prepared"]),
            Assert(~names["compared"] | names["prepared"]),
            Assert(~dut.port.valid | names["compared"]),
            Assert(~(names["compared"] & names["room"]) | (names["credit"] >= BURST_BEATS)),
            Assert(~dut.port.valid | (names["credit"] >= BURST_BEATS)),
            Assert(~dut.port.valid | (dut.port.beats <= BURST_BEATS)),
            Assert(~(dut.port.valid | names["accepted"]) | (dut.port.beats != 0)),
            Assert(~names["compared"] | (names["size"] != 0)),
            Assert(names["size"] <= BURST_BEATS // self.beats),
        ]
        if self._cover:
            m.d.comb += Cover((owed == 2 * BURST_BEATS) & (level == 1))


class PlaceHarness(Harness):
    """A request lies in one stripe, in the arena and in the program."""

    def state(self, m):
        self.place(m, Assert)
        if self._cover:
            _, requested = self.requested()
            self.hurry(m)
            m.d.comb += Cover(self.dut.port.valid & (requested == 5))


class OrderHarness(Harness):
    """Each instruction in the arena once, by its index; then why there is none."""

    def state(self, m):
        dut, names, index = self.dut, self.names, Signal(LENGTH_BITS + 1)
        base, limit, length = self.base, self.limit, self.program_length
        code = dut.o.payload.code
        m.d.sync += index.eq(index + (dut.o.valid & self.o_ready & (code == ErrorCode.NONE)))
        with m.If(dut.o.valid):
            m.d.comb += Assert(dut.o.payload.index == index)
            with m.Switch(code):
                with m.Case(ErrorCode.NONE):
                    m.d.comb += Assert((index < length) & (base + index < limit))
                with m.Case(ErrorCode.PROGRAM_END):
                    m.d.comb += Assert(index == length)
                with m.Case(ErrorCode.ARENA):
                    m.d.comb += Assert((index < length) & (base + index >= limit))
                with m.Default():
                    m.d.comb += Assert(C(0, 1))
        accepted, _ = self.requested()
        asked, fault = names["asked"][:LENGTH_BITS], names["fault"]
        # Proved by the other two.
        self.place(m, Assume)
        m.d.comb += [
            Assume(~self.arrives | self.buffer.w_rdy),
            Assert(names["index"] == index),
            Assert(index <= accepted),
            Assert(
                (accepted - index) * self.beats
                == names["filled"] + self.buffer.level + self.owed
            ),
            Assert(names["filled"] <= self.beats),
            Assert(names["full"] == (names["filled"] == self.beats)),
            Assert(~fault | ((asked < length) & (base + asked >= limit) & ~dut.port.valid)),
        ]
        m.d.comb += Assert(
            ~names["exhausted"]
            | ((index == asked) & ((asked == length) | fault) & ~dut.port.valid)
        )
        if self._cover:
            ends = dut.o.valid & (index == 1)
            self.hurry(m)
            m.d.comb += [
                Cover(ends & (code == ErrorCode.ARENA)),
                Cover(ends & (code == ErrorCode.PROGRAM_END)),
            ]


HARNESSES = [RoomHarness, PlaceHarness, OrderHarness]


@pytest.mark.slow
@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.__name__)
@pytest.mark.parametrize("preset", ["pynq-z2", "kv260"])
def test_fetch(harness, preset, tmp_path):
    prove(harness(PRESETS[preset]), tmp_path, depth=4, solver=SOLVER)


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.__name__)
def test_reachable(harness, tmp_path):
    prove(harness(PRESETS["kv260"], cover=True), tmp_path, mode="cover", depth=18, solver=SOLVER)


@pytest.mark.parametrize(
    ("harness", "old", "new"),
    [
        (RoomHarness, "eq(credit - taken + popped)", "eq(credit - (taken != 0) + popped)"),
        (PlaceHarness, "eq(Mux(remaining < per_burst, remaining, per_burst))", "eq(per_burst)"),
        (OrderHarness, "index.eq(index + 1)", "index.eq(index + 2)"),
    ],
)
def test_broken_fetches_are_refuted(harness, old, new, tmp_path):
    broken = harness(PRESETS["kv260"], block=mutant(Fetch, old, new))
    with pytest.raises(Refuted):
        prove(broken, tmp_path, mode="bmc", depth=14, solver=SOLVER)
