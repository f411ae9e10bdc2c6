"""Proof: the bridge answers each burst, beat by beat, and holds what it offers."""

from __future__ import annotations

from amaranth.hdl import Assert, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import opened
from sby import prove
from weft_hw.shell.bridge import DECERR, Axi3ToLite

SOLVER = "--nomem --unroll z3"
BASE = 0x43C0_0000
PAGE_BITS = 12
#: More accesses than can be open at once.
NUMBERS = 8
#: What is offered on each channel that the bridge drives.
OFFERS = {
    "s_axi_b": ("id", "resp"),
    "s_axi_r": ("id", "data", "resp", "last"),
    "m_axil_aw": ("addr",),
    "m_axil_w": ("data", "strb"),
    "m_axil_ar": ("addr",),
}


class Harness(wiring.Component):
    """Any master and any registers, even ones that withdraw their valid."""

    def __init__(self, *, cover: bool = False):
        self._cover = cover
        self._dut = Axi3ToLite(BASE)
        inputs = {n: m for n, m in self._dut.signature.members.items() if m.flow is wiring.In}
        super().__init__({name: In(member.shape) for name, member in inputs.items()})

    def done(self, channel: str) -> Value:
        """A handshake on a channel."""
        return getattr(self._dut, f"{channel}valid") & getattr(self._dut, f"{channel}ready")

    def count(self, m: Module, channel: str) -> Signal:
        """Handshakes on a channel so far."""
        count = Signal(range(NUMBERS), name=f"{channel}_count")
        m.d.sync += count.eq(count + self.done(channel))
        return count

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._dut
        opened(dut)
        m.d.comb += [getattr(dut, name).eq(getattr(self, name)) for name in self.signature.members]
        self.offers(m)
        self.writes(m)
        self.reads(m)
        if self._cover:
            bursts = [Signal(range(NUMBERS), name=f"burst_{c}") for c in "br"]
            m.d.sync += [
                bursts[0].eq(bursts[0] + (self.done("s_axi_b") & (dut.s_axi_bresp != DECERR))),
                bursts[1].eq(bursts[1] + (self.done("s_axi_r") & dut.s_axi_rlast)),
            ]
            m.d.comb += Cover((bursts[0] == 2) & (bursts[1] == 2))
        return m

    def offers(self, m: Module) -> None:
        """VALID and what it comes with stay until READY (IHI 0022E, A3.2.1)."""
        for channel, fields in OFFERS.items():
            valid, ready = (getattr(self._dut, channel + n) for n in ("valid", "ready"))
            now = Cat(getattr(self._dut, channel + name) for name in fields)
            before, offered = (
                Signal(len(now), name=f"{channel}_before"),
                Signal(name=f"{channel}_held"),
            )
            m.d.sync += [before.eq(now), offered.eq(valid & ~ready)]
            with m.If(offered):
                m.d.comb += [Assert(valid), Assert(now == before)]

    def writes(self, m: Module) -> None:
        dut, burst = self._dut, self._dut.write_burst
        idle, data, answer = dut.s_axi_awready, dut.s_axi_wready, dut.s_axi_bvalid
        access, response = dut.m_axil_awvalid | dut.m_axil_wvalid, dut.m_axil_bready
        m.d.comb += [
            Assert(idle + data + access + response + answer == 1),
            Assert(dut.write_states.ongoing("Access") == access),
        ]
        # The beats that the burst still has to bring, and whose it is.
        due, name, inside, begun = Signal(5), Signal(12), Signal(), Signal()
        with m.If(self.done("s_axi_aw")):
            m.d.sync += [
                begun.eq(0),
                due.eq(self.s_axi_awlen + 1),
                name.eq(self.s_axi_awid),
                inside.eq(self.s_axi_awaddr[PAGE_BITS:] == BASE >> PAGE_BITS),
            ]
        with m.If(self.done("s_axi_w")):
            m.d.sync += [due.eq(due - 1), begun.eq(1)]
        with m.If(~idle):
            m.d.comb += [Assert(burst.id == name), Assert(burst.inside == inside)]
            m.d.comb += Assert(inside | ~begun | (dut.s_axi_bresp == DECERR))
        with m.If(data):
            m.d.comb += Assert(due == burst.left + 1)
        with m.If(access | response):
            m.d.comb += [Assert(due == burst.left), Assert(inside), Assert(begun)]
        with m.If(answer):
            m.d.comb += [Assert(due == 0), Assert(begun), Assert(dut.s_axi_bid == name)]
        # One access for each beat, address and data once, answered before the next.
        address, word, answered = (self.count(m, f"m_axil_{c}") for c in ("aw", "w", "b"))
        sent = [(count - answered)[: len(answered)] for count in (address, word)]
        m.d.comb += [
            Assert(sent[0] == Mux(access, ~dut.m_axil_awvalid, response)),
            Assert(sent[1] == Mux(access, ~dut.m_axil_wvalid, response)),
        ]

    def reads(self, m: Module) -> None:
        dut, burst = self._dut, self._dut.read_burst
        idle, answer = dut.s_axi_arready, dut.s_axi_rvalid
        access, response = dut.m_axil_arvalid, dut.m_axil_rready
        m.d.comb += Assert(idle + access + response + answer == 1)
        due, name, inside = Signal(5), Signal(12), Signal()
        with m.If(self.done("s_axi_ar")):
            m.d.sync += [
                due.eq(self.s_axi_arlen + 1),
                name.eq(self.s_axi_arid),
                inside.eq(self.s_axi_araddr[PAGE_BITS:] == BASE >> PAGE_BITS),
            ]
        with m.If(self.done("s_axi_r")):
            m.d.sync += due.eq(due - 1)
        with m.If(idle):
            m.d.comb += Assert(due == 0)
        with m.Else():
            m.d.comb += [
                Assert(burst.id == name),
                Assert(burst.inside == inside),
                Assert(due == burst.left + 1),
            ]
        with m.If(access | response):
            m.d.comb += Assert(inside)
        with m.If(answer):
            m.d.comb += [
                Assert(dut.s_axi_rid == name),
                Assert(dut.s_axi_rlast == (due == 1)),
                Assert(inside | ((dut.s_axi_rresp == DECERR) & (dut.s_axi_rdata == 0))),
            ]
        # What the registers said is what is passed on.
        said = Signal(34)
        with m.If(self.done("m_axil_r")):
            m.d.sync += said.eq(Cat(self.m_axil_rdata, self.m_axil_rresp))
        with m.If(answer & inside):
            m.d.comb += Assert(Cat(dut.s_axi_rdata, dut.s_axi_rresp) == said)
        asked, told = self.count(m, "m_axil_ar"), self.count(m, "m_axil_r")
        m.d.comb += Assert((asked - told)[: len(told)] == response)


def test_bursts(tmp_path):
    prove(Harness(), tmp_path, depth=3, solver=SOLVER)


def test_reachable(tmp_path):
    prove(Harness(cover=True), tmp_path, mode="cover", depth=20, solver=SOLVER)
