"""Proof, for ever: the AXI4-Lite slave answers every access once and holds what it offers."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant
from sby import Refuted, prove
from weft_hw.control.axilite import OKAY, SLVERR, AxiLite

#: Memories as registers, and formulas unrolled: several times faster here.
SOLVER = "--nomem --unroll z3"

#: More accesses than can be open at once.
NUMBERS = 8


class Harness(wiring.Component):
    """Any master, even one that withdraws its valid; registers that answer anything."""

    def __init__(self, *, block: type[AxiLite] = AxiLite, cover: bool = False):
        self._block, self._cover = block, cover
        super().__init__(
            {
                "awvalid": In(1),
                "awaddr": In(12),
                "wvalid": In(1),
                "wdata": In(32),
                "bready": In(1),
                "arvalid": In(1),
                "araddr": In(12),
                "rready": In(1),
                "read_data": In(32),
                "read_error": In(1),
                "write_error": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._block()
        for name in ("awvalid", "awaddr", "wvalid", "wdata", "bready", "arvalid", "araddr"):
            m.d.comb += getattr(dut.s_axil, f"{name}").eq(getattr(self, name))
        m.d.comb += [
            dut.s_axil.rready.eq(self.rready),
            dut.bus.read_data.eq(self.read_data),
            dut.bus.read_error.eq(self.read_error),
            dut.bus.write_error.eq(self.write_error),
        ]
        counts = {}
        for name in ("aw", "w", "b", "ar", "r"):
            valid = getattr(dut.s_axil, f"{name}valid")
            counts[name] = count = Signal(range(NUMBERS), name=f"{name}_count")
            m.d.sync += count.eq(count + (valid & getattr(dut.s_axil, f"{name}ready")))
        done = Signal(range(NUMBERS))
        m.d.sync += done.eq(done + dut.bus.write_enable)

        def open_accesses(before, after):
            return (before - after)[: len(done)]

        m.d.comb += [
            # A write is done once its address and its data are here, and answered once.
            Assert(open_accesses(counts["aw"], done) == ~dut.s_axil.awready),
            Assert(open_accesses(counts["w"], done) == ~dut.s_axil.wready),
            Assert(open_accesses(done, counts["b"]) == dut.s_axil.bvalid),
            # As soon as both are here and the answer before has gone: 2 cycles from both to it.
            Assert(
                dut.bus.write_enable
                == (~dut.s_axil.awready & ~dut.s_axil.wready & ~dut.s_axil.bvalid)
            ),
            # A read waits, or is answered; at most one of each.
            Assert(
                open_accesses(counts["ar"], counts["r"]) == dut.s_axil.rvalid + ~dut.s_axil.arready
            ),
        ]

        # The cycle after the address, and one for its answer: 3 cycles from one to the other.
        waits, due = ~dut.s_axil.arready & ~dut.s_axil.rvalid, Signal(2)
        m.d.sync += due.eq(Cat(waits, due[0] & waits))
        with m.If(due[1]):
            m.d.comb += Assert(dut.s_axil.rvalid)

        # What the registers see is what the master sent.
        address, data, read_address = Signal(12), Signal(32), Signal(12)
        with m.If(self.awvalid & dut.s_axil.awready):
            m.d.sync += address.eq(self.awaddr)
        with m.If(self.wvalid & dut.s_axil.wready):
            m.d.sync += data.eq(self.wdata)
        with m.If(self.arvalid & dut.s_axil.arready):
            m.d.sync += read_address.eq(self.araddr)
        with m.If(~dut.s_axil.awready):
            m.d.comb += Assert(dut.bus.write_word == address[2:])
        with m.If(~dut.s_axil.wready):
            m.d.comb += Assert(dut.bus.write_data == data)
        with m.If(~dut.s_axil.arready):
            m.d.comb += Assert(dut.bus.read_word == read_address[2:])

        # The answer is that of the registers in the cycle of the access, and is held.
        refused, offered, value = Signal(), Signal(), Signal(33)
        with m.If(dut.bus.write_enable):
            m.d.sync += refused.eq(self.write_error)
        with m.If(dut.s_axil.bvalid):
            m.d.comb += Assert(dut.s_axil.bresp == Mux(refused, SLVERR, OKAY))
        m.d.sync += [
            offered.eq(dut.s_axil.rvalid & ~self.rready),
            value.eq(Mux(dut.s_axil.rvalid, value, Cat(self.read_data, self.read_error))),
        ]
        with m.If(offered):
            m.d.comb += Assert(dut.s_axil.rvalid)
        with m.If(dut.s_axil.rvalid):
            m.d.comb += [
                Assert(dut.s_axil.rresp == Mux(value[32], SLVERR, OKAY)),
                Assert(dut.s_axil.rdata == Mux(value[32], 0, value[:32])),
            ]
        if self._cover:
            m.d.comb += Cover((counts["b"] == 3) & (counts["r"] == 3) & dut.s_axil.rresp.any())
        return m


def test_answers(tmp_path):
    prove(Harness(), tmp_path, depth=4, solver=SOLVER)


def test_reachable(tmp_path):
    prove(Harness(cover=True), tmp_path, mode="cover", depth=16, solver=SOLVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A second write is done, and answered once, while the first response waits.
        ("eq(aw_full & w_full & ~b_full)", "eq(aw_full & w_full)"),
        # An answer that waits for its master to be ready.
        ("eq(aw_full & w_full & ~b_full)", "eq(aw_full & w_full & ~b_full & axi.bready)"),
        ("eq(ar_full & answered & ~r_full)", "eq(ar_full & answered & axi.rready)"),
        # The address of a read changes while it waits.
        ("with m.If(axi.arvalid & ~ar_full)", "with m.If(axi.arvalid)"),
    ],
)
def test_broken_slaves_are_refuted(old, new, tmp_path):
    harness = Harness(block=mutant(AxiLite, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=8, solver=SOLVER)
