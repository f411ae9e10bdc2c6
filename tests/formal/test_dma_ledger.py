"""Proof, for ever: transfers retire in the order of their starts, once, when every port is done.

Any starts, any stalls; a port finishes a transfer only after it was given it. One transfer, any, is
followed from its start to its retirement. What a transfer says (offsets, merged rows) is left to
the benches.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import Followed, mutant, opened
from sby import Refuted, prove
from weft_hw.config import PRESETS
from weft_hw.dma.layouts import SLOTS, TAG_BITS
from weft_hw.dma.ledger import Ledger
from weft_hw.interface import INDEX_BITS, INSTRUCTION_BITS, POST_BITS
from weft_hw.isa import LAYOUTS, Opcode

SOLVER = "--nomem --unroll z3"
CONFIG = PRESETS["pynq-z2"]
PORTS = CONFIG.axi_ports


class Harness(wiring.Component):
    def __init__(self, *, block: type[Ledger] = Ledger, cover: bool = False):
        self._block, self._cover = block, cover
        super().__init__(
            {
                "valid": In(1),
                "word": In(INSTRUCTION_BITS),
                "index": In(INDEX_BITS),
                "pick": In(1),
                "ready": In(1),
                "done": In(PORTS),
                "hold": In(1),
                "tag": In(TAG_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._block(CONFIG, Opcode.LOAD)
        inside = opened(dut)
        names = inside.names
        m.d.comb += [
            dut.start.valid.eq(self.valid), dut.start.payload.word.eq(self.word),
            dut.start.payload.index.eq(self.index), dut.transfer.ready.eq(self.ready),
            dut.done.eq(self.done), dut.hold.eq(self.hold), dut.tag.eq(self.tag),
        ]
        starts, given = self.valid & dut.start.ready, dut.transfer.valid & self.ready
        retires = dut.retire.valid
        first = LAYOUTS[Opcode.LOAD]["post0_enable"].offset
        posts = self.word[first : first + POST_BITS]
        followed = Followed(
            m, push=starts, payload=Cat(posts, self.index), pop=retires, pick=self.pick,
            limit=SLOTS,
        )
        slot = followed.lies_in_ring(inside.submodules.posts, level=names["taken"], beyond=0)
        m.d.comb += [
            Assert(names["taken"] <= SLOTS),
            Assert((names["head"] + names["taken"])[:TAG_BITS] == names["tail"]),
            Assert(dut.busy == (followed.inside != 0)),
            # A fault ends retirement at once.
            Assert(~retires | ~self.hold),
        ]
        with m.If(retires & followed.head):
            m.d.comb += Assert(dut.retire.posts == followed.value[:POST_BITS])
        # Its index is found under its tag until it retires.
        probe = inside.submodules.indices.read_port(domain="comb")
        m.d.comb += probe.addr.eq(slot)
        with m.If(followed.following):
            m.d.comb += Assert(probe.data == followed.value[POST_BITS:])
            with m.If(self.tag == slot):
                m.d.comb += Assert(dut.index == followed.value[POST_BITS:])

        # A started transfer is given to the ports, once, within three cycles of their readiness.
        pending, newest, wait = Signal(), Signal(TAG_BITS), Signal(2)
        m.d.sync += pending.eq((pending & ~given) | starts)
        m.d.sync += wait.eq(0)
        with m.If(pending & ~dut.transfer.valid):
            m.d.sync += wait.eq(wait + 1)
        with m.If(starts):
            m.d.sync += newest.eq(inside.submodules.posts.write_ports[0].addr)
        m.d.comb += [
            Assert(~dut.transfer.valid | pending),
            Assert(~dut.start.ready | ~pending),
            Assert((wait <= 1) | dut.transfer.valid | ~pending),
            Assert(~dut.transfer.valid | (dut.transfer.payload.tag == newest)),
        ]
        # No retirement before every port has finished the transfer.
        for p in range(PORTS):
            under_way, ahead = Signal(8, name=f"under_way{p}"), Signal(8, name=f"ahead{p}")
            m.d.sync += [
                under_way.eq(under_way + given - self.done[p]),
                ahead.eq(ahead + self.done[p] - retires),
            ]
            m.d.comb += [
                Assume(~self.done[p] | (under_way != 0)),
                Assert(~retires | (ahead != 0)),
                Assert(ahead == names["finished"][p]),
                Assert(pending + under_way + ahead == followed.inside),
            ]
        if self._cover:
            m.d.comb += Cover(retires & followed.head & (slot == 1) & (followed.inside == 2))
        return m


def test_order(tmp_path):
    prove(Harness(), tmp_path, depth=4, solver=SOLVER)


def test_reachable(tmp_path):
    prove(Harness(cover=True), tmp_path, mode="cover", depth=14, solver=SOLVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Cat(f != 0 for f in finished).all()", "Cat(f != 0 for f in finished).any()"),
        ("transfer.tag.eq(tail)", "transfer.tag.eq(head)"),
    ],
)
def test_broken_ledgers_are_refuted(old, new, tmp_path):
    harness = Harness(block=mutant(Ledger, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=10, solver=SOLVER)
