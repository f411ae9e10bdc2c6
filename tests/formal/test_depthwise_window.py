"""Proof, for ever: the taps of a row window are the line just read, and those delay1, and
delay1 + delay2, lines before it.

Any delays, lines at any time, loads at any time but with a line. A free input chooses the line that
is followed, so what holds for it holds for every line since the last load. Inductive by where the
line lies: in the first ring until delay1 lines came after it, then in the second one.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant, opened
from sby import Refuted, prove
from weft_hw.depthwise.window import Window
from weft_hw.isa import TAP_DELAY_MAX

#: A line of one byte: bits of a line do not meet.
CONFIG = SimpleNamespace(line_bytes=1)
PLACE_BITS = (TAP_DELAY_MAX - 1).bit_length()


class Harness(wiring.Component):
    """Any stream."""

    def __init__(self, *, block: type[Window] = Window):
        self._block = block
        bits = TAP_DELAY_MAX.bit_length()
        super().__init__(
            {
                "load": In(1),
                "delay": In(bits).array(2),
                "valid": In(1),
                "line": In(8 * CONFIG.line_bytes),
                "pick": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._block(CONFIG)
        inside = opened(dut)
        delays = [Signal.like(delay, name=f"kept{i}") for i, delay in enumerate(self.delay)]
        loaded = Signal()
        m.d.comb += [
            dut.load.eq(self.load), dut.valid.eq(self.valid), dut.line.eq(self.line),
            Assume(~(self.load & self.valid)), Assume(loaded | ~self.valid),
        ]
        for i, delay in enumerate(self.delay):
            m.d.comb += [
                dut.delays[i].eq(delay), Assume((delay >= 1) & (delay <= TAP_DELAY_MAX)),
                Assume(self.load | ~loaded | (delay == delays[i])),
            ]
        with m.If(self.load):
            m.d.sync += [loaded.eq(1), *(kept.eq(new) for kept, new in zip(delays, self.delay))]

        # The line that is followed, its place in the first ring, and how many came after it.
        following, value = Signal(), Signal.like(self.line)
        place, age = Signal(PLACE_BITS), Signal(range(2 * TAP_DELAY_MAX + 1))
        with m.If(self.load):
            m.d.sync += following.eq(0)
        with m.Elif(self.valid & following):
            m.d.sync += [age.eq(age + 1), following.eq(age < 2 * TAP_DELAY_MAX - 1)]
        with m.Elif(self.valid & self.pick):
            m.d.sync += [
                following.eq(1), age.eq(0), value.eq(self.line), place.eq(inside.names["place"]),
            ]

        both = delays[0] + delays[1]
        for tap, behind in ((1, delays[0]), (2, both)):
            due, wanted = Signal(name=f"due{tap}"), Signal.like(value, name=f"wanted{tap}")
            m.d.sync += [
                due.eq(self.valid & following & (age + 1 == behind)), wanted.eq(value)
            ]
            m.d.comb += [Assert(~due | (dut.taps[tap] == wanted)), Cover(due & (behind > 2))]
        newest, came = Signal.like(self.line), Signal()
        m.d.sync += [newest.eq(self.line), came.eq(self.valid)]
        m.d.comb += Assert(~came | (dut.taps[0] == newest))

        # Where it is meanwhile.
        now = inside.names["place"]
        for ring, first in ((0, 0), (1, delays[0])):
            behind = now - delays[ring]
            storage = inside.submodules[f"ring{ring}"]
            probe, is_in = storage.read_port(domain="comb"), Signal(name=f"in{ring}")
            m.d.comb += [
                is_in.eq(following & (age >= first) & (age < first + delays[ring])),
                probe.addr.eq(place + first),
                Assert(~is_in | (probe.data == value)),
                Assert(~loaded | (storage.read_ports[0].addr == behind[:PLACE_BITS])),
            ]
        expected = place + age + 1
        m.d.comb += [
            Assert(~following | (now == expected[:PLACE_BITS])), Assert(loaded | ~following),
            Assert(~following | (age < 2 * TAP_DELAY_MAX)),
        ]
        for kept in delays:
            m.d.comb += Assert(~loaded | ((kept >= 1) & (kept <= TAP_DELAY_MAX)))
        return m


def test_taps_are_lines_before(tmp_path):
    prove(Harness(), tmp_path, depth=3)


def test_both_taps_are_reached(tmp_path):
    prove(Harness(), tmp_path, mode="cover", depth=9)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("behind.eq(place - self.delays[tap])", "behind.eq(place + self.delays[tap])"),
        ("behind.eq(behind + 1)", "behind.eq(behind)"),
        ("read.addr.eq(behind),", "read.addr.eq(place),"),
        ("place.eq(place + 1)", "place.eq(place + 3)"),
        ("line = read.data", "line = kept"),
    ],
)
def test_broken_windows_are_refuted(old, new, tmp_path):
    with pytest.raises(Refuted):
        prove(Harness(block=mutant(Window, old, new)), tmp_path, mode="bmc", depth=8)
