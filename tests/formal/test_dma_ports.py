"""Proofs: the ports keep the rules of AXI, count what is under way, and end cleanly in a stop."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from weft_hw.config import PRESETS
from weft_hw.dma.read_port import ReadPort
from weft_hw.dma.write_port import WritePort

from .sby import prove

CONFIG = PRESETS["tiny-wide"].replace(read_outstanding=4, write_outstanding=4)


class Harness(wiring.Component):
    """A port whose inputs are all free, but for what AXI asks of the memory."""

    def __init__(self, port):
        self.port = port
        members = {}
        for path, member, _ in port.signature.flatten(port):
            if member.flow == In:
                members["_".join(map(str, path))] = In(member.shape)
        super().__init__(members)

    def connect(self, m):
        """Drive every input of the port from the free input of the same name."""
        for path, member, value in self.port.signature.flatten(self.port):
            if member.flow == In:
                m.d.comb += value.eq(getattr(self, "_".join(map(str, path))))

    def stable(self, m, channel, payload):
        """VALID and payload of a channel of the port hold until READY."""
        axi = self.port.axi
        valid, ready = getattr(axi, f"{channel}valid"), getattr(axi, f"{channel}ready")
        now = Cat(getattr(axi, f"{channel}{name}") for name in payload)
        held, before = Signal(name=f"{channel}_held"), Signal(len(now), name=f"{channel}_before")
        m.d.sync += [held.eq(valid & ~ready), before.eq(now)]
        with m.If(held):
            m.d.comb += [Assert(valid), Assert(now == before)]


class ReadHarness(Harness):
    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        self.connect(m)
        axi = port.axi
        self.stable(m, "ar", ("addr", "len", "size", "burst", "lock", "cache", "prot", "id"))

        # The memory answers only bursts that it has accepted.
        accepted = Signal(4)
        ended = axi.rvalid & axi.rready & axi.rlast
        m.d.sync += accepted.eq(accepted + (axi.arvalid & axi.arready) - ended)
        m.d.comb += [
            Assume((accepted != 0) | ~axi.rvalid),
            Assert(port.under_way == accepted + axi.arvalid),
            Assert(port.under_way <= CONFIG.read_outstanding),
            Assert(port.idle == ((accepted == 0) & ~axi.arvalid)),
        ]

        # A stop: no new address, and nothing reaches the core.
        stopped, was_valid = Signal(), Signal()
        m.d.sync += [stopped.eq(self.stop), was_valid.eq(axi.arvalid)]
        with m.If(stopped):
            m.d.comb += [
                Assert(was_valid | ~axi.arvalid),
                Assert(~port.fetch_data_valid),
                Assert(~port.fault),
            ]
        return m


class WriteHarness(Harness):
    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        self.connect(m)
        axi = port.axi
        self.stable(m, "aw", ("addr", "len", "size", "burst", "lock", "cache", "prot", "id"))
        self.stable(m, "w", ("data", "strb", "last"))

        # The memory answers only bursts of which it has the address and all data.
        accepted, complete = Signal(4), Signal(4)
        answered = axi.bvalid & axi.bready
        m.d.sync += [
            accepted.eq(accepted + (axi.awvalid & axi.awready) - answered),
            complete.eq(complete + (axi.wvalid & axi.wready & axi.wlast) - answered),
        ]
        m.d.comb += [
            Assume(((accepted != 0) & (complete != 0)) | ~axi.bvalid),
            Assume(self.burst_payload.beats != 0),
            Assert(port.under_way == accepted + axi.awvalid),
            Assert(port.under_way <= CONFIG.write_outstanding),
            Assert(port.idle == ((accepted == 0) & ~axi.awvalid)),
            Assert((axi.wstrb == 0) | axi.wstrb.all()),
        ]

        # A stop: no new address, and every beat that is asserted in it has zero strobes.
        stopped, was_aw, was_w = Signal(), Signal(), Signal()
        m.d.sync += [
            stopped.eq(self.stop),
            was_aw.eq(axi.awvalid),
            was_w.eq(axi.wvalid & ~axi.wready),
        ]
        with m.If(stopped):
            m.d.comb += [
                Assert(was_aw | ~axi.awvalid),
                Assert(was_w | ~axi.wvalid | (axi.wstrb == 0)),
                Assert(~port.response.valid),
            ]
        return m


class WriteOrderHarness(Harness):
    """No data before their address is asserted, and never more bursts of data than addresses."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        self.connect(m)
        axi, sent = port.axi, Signal(4)
        finished = axi.wvalid & axi.wready & axi.wlast
        answered = axi.bvalid & axi.bready
        m.d.sync += sent.eq(sent + finished - answered)
        m.d.comb += [
            Assume((sent != 0) | ~axi.bvalid),
            Assume(self.burst_payload.beats == 1),
            Assert(sent + axi.wvalid <= port.under_way),
        ]
        return m


def test_read_port(tmp_path):
    prove(ReadHarness(ReadPort(CONFIG)), tmp_path, depth=3)


def test_write_port(tmp_path):
    prove(WriteHarness(WritePort(CONFIG)), tmp_path, depth=3)


def test_write_order(tmp_path):
    prove(WriteOrderHarness(WritePort(CONFIG)), tmp_path, mode="bmc", depth=10)
