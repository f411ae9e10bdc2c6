"""Proofs, for ever: the ports keep the rules of AXI, count what is open, and end cleanly in a stop.

Every input is free in every cycle, `stop` too. Assumed is what others guarantee: the memory answers
only what it was asked (AXI); a burst has 1..16 beats that lie in one stripe (proofs of the walker
and of instruction fetch); the arena begins at a multiple of 4 KiB (register map).

One burst and one beat, any, are followed through the queues that hold them. The ports have 4 bursts
under way at most; where it is 8 or 16, the same queue is longer.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import Followed, mutant, opened
from sby import Refuted, prove
from weft_hw.config import BURST_BEATS, PRESETS
from weft_hw.dma.read_port import ReadPort
from weft_hw.dma.write_port import WritePort

SOLVER = "--nomem --unroll z3"
CONFIG = PRESETS["tiny-wide"].replace(read_outstanding=4, write_outstanding=4)


class Harness(wiring.Component):
    """A port whose inputs are all free, but for what others guarantee."""

    def __init__(self, port, *, cover: bool = False):
        self.port, self.cover = port, cover
        members = {"pick": In(1), "pick_beat": In(1)}
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

    def addresses(self, m, channel, issue, burst):
        """A burst is asserted as it was given, and lies in one stripe and one 4 KiB page."""
        self.stable(m, channel, ("addr", "len", "size", "burst", "lock", "cache", "prot", "id"))
        axi, beat_bytes = self.port.axi, CONFIG.beat_bytes
        address, valid = getattr(axi, f"{channel}addr"), getattr(axi, f"{channel}valid")
        beats = getattr(axi, f"{channel}len") + 1
        want, want_beats = Signal.like(address), Signal(5)
        m.d.comb += Assume(self.arena_base[:12] == 0)
        with m.If(issue):
            m.d.comb += Assume((burst.beats != 0) & (burst.offset[:4] + burst.beats <= BURST_BEATS))
            m.d.sync += [
                want.eq(self.arena_base + burst.offset * beat_bytes), want_beats.eq(burst.beats)
            ]
        stripe_bytes = BURST_BEATS * beat_bytes
        within = (stripe_bytes - 1).bit_length()
        with m.If(valid):
            m.d.comb += [
                Assert(address == want),
                Assert(beats == want_beats),
                Assert(beats <= BURST_BEATS),
                Assert(address[:within] + beats * beat_bytes <= stripe_bytes),
                Assert(address[:12] + beats * beat_bytes <= 4096),
            ]


class ReadHarness(Harness):
    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        inside = opened(port)
        self.connect(m)
        axi = port.axi
        from_fetch = self.fetch_valid & port.fetch.ready
        from_load = self.burst_valid & port.burst.ready
        issue = from_fetch | from_load
        burst = Signal.like(port.burst.payload)
        m.d.comb += [
            burst.eq(self.burst_payload), Assert(~(from_fetch & from_load)),
        ]
        with m.If(from_fetch):
            m.d.comb += burst.eq(self.fetch_payload)
        self.addresses(m, "ar", issue, burst)

        # The memory answers only bursts that it has accepted.
        accepted = Signal(4)
        taken = axi.rvalid & axi.rready
        ended = taken & axi.rlast
        m.d.sync += accepted.eq(accepted + (axi.arvalid & axi.arready) - ended)
        m.d.comb += [
            Assume((accepted != 0) | ~axi.rvalid),
            Assert(port.under_way == accepted + axi.arvalid),
            Assert(port.under_way <= CONFIG.read_outstanding),
            Assert(port.idle == ((accepted == 0) & ~axi.arvalid)),
        ]

        # A burst, from its issue to its last beat: every beat goes to its owner, once.
        owner = Cat(from_fetch, burst.tag)
        bursts = Followed(
            m, push=issue, payload=owner, pop=ended, pick=self.pick, limit=CONFIG.read_outstanding
        )
        owners = inside.submodules.owners
        bursts.lies_in(opened(owners).submodules.fifo)
        is_fetch, tag = bursts.value[0], bursts.value[1:]
        mine, was_fetch, was_tag = Signal(), Signal(), Signal.like(tag)
        failed, value, dropped = Signal(), Signal.like(axi.rdata), Signal()
        arrived = Signal()
        m.d.sync += [
            arrived.eq(taken), mine.eq(taken & bursts.head), was_fetch.eq(is_fetch),
            was_tag.eq(tag), failed.eq(axi.rresp[1]), value.eq(axi.rdata), dropped.eq(self.stop),
        ]
        m.d.comb += [
            Assert(port.under_way == bursts.inside),
            Assert(arrived == port.beat + port.fetch_beat),
            Assert(port.fetch_data_valid == (port.fetch_beat & ~dropped)),
            Assert(port.fault == (arrived & failed & ~dropped)),
            Assert(~port.fetch_data_valid | (port.fetch_data == value)),
        ]
        with m.If(mine):
            m.d.comb += [Assert(port.fetch_beat == was_fetch), Assert(port.beat == ~was_fetch)]
            with m.If(port.fault):
                m.d.comb += [
                    Assert(port.fault_fetch == was_fetch), Assert(port.fault_tag == was_tag)
                ]

        # A beat of the load unit, from the bus to `data`. A stop drops all of them.
        beats = Followed(
            m, push=taken & ~owners.o.payload.fetch & ~self.stop, payload=axi.rdata,
            pop=port.data.valid & self.data_ready, pick=self.pick_beat, limit=BURST_BEATS,
            clear=self.stop,
        )
        beats.lies_in(opened(inside.names["queue"]).submodules.fifo)
        with m.If(port.data.valid & beats.head):
            m.d.comb += Assert(port.data.payload == beats.value)
        offered, before = Signal(), Signal.like(axi.rdata)
        m.d.sync += [
            offered.eq(port.data.valid & ~self.data_ready & ~self.stop),
            before.eq(port.data.payload),
        ]
        m.d.comb += Assert(~offered | (port.data.valid & (before == port.data.payload)))

        # Nothing hangs: the owner is known two cycles after the issue, and then only a full queue
        # lets a beat wait; a stop lets none.
        unknown = Signal()
        m.d.sync += unknown.eq((bursts.inside != 0) & ~owners.o.valid)
        m.d.comb += [
            Assert(~unknown | (bursts.inside == 0) | owners.o.valid),
            Assert(~owners.o.valid | ~self.stop | axi.rready),
            Assert(~owners.o.valid | axi.rready | (beats.inside >= BURST_BEATS - 1)),
        ]

        # A stop: no new address, and nothing reaches the core.
        stopped, was_valid = Signal(), Signal()
        m.d.sync += [stopped.eq(self.stop), was_valid.eq(axi.arvalid)]
        with m.If(stopped):
            m.d.comb += [
                Assert(was_valid | ~axi.arvalid),
                Assert(~port.data.valid),
                Assert(~port.fetch_data_valid),
                Assert(~port.fault),
            ]
        if self.cover:
            m.d.comb += [
                Cover((port.under_way == CONFIG.read_outstanding) & bursts.head & mine & was_fetch),
                Cover(stopped & mine & ~was_fetch & axi.rready),
                Cover(port.data.valid & beats.head & (beats.inside == 3)),
            ]
        return m


class WriteHarness(Harness):
    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        inside = opened(port)
        self.connect(m)
        axi = port.axi
        issue = self.burst_valid & port.burst.ready
        self.addresses(m, "aw", issue, self.burst_payload)
        self.stable(m, "w", ("data", "strb", "last"))

        # The memory answers only bursts of which it has the address and all data.
        accepted, complete = Signal(4), Signal(4)
        answered = axi.bvalid & axi.bready
        sent = axi.wvalid & axi.wready
        m.d.sync += [
            accepted.eq(accepted + (axi.awvalid & axi.awready) - answered),
            complete.eq(complete + (sent & axi.wlast) - answered),
        ]
        m.d.comb += [
            Assume(((accepted != 0) & (complete != 0)) | ~axi.bvalid),
            Assert(port.under_way == accepted + axi.awvalid),
            Assert(port.under_way <= CONFIG.write_outstanding),
            Assert(port.idle == ((accepted == 0) & ~axi.awvalid)),
        ]

        # A burst, from its issue to its last beat on the bus: AWLEN + 1 beats, the last with WLAST.
        bursts = Followed(
            m, push=issue, payload=self.burst_payload.beats, pop=sent & axi.wlast, pick=self.pick,
            limit=CONFIG.write_outstanding,
        )
        beat = Signal(5)  # of the burst that is on the bus
        with m.If(sent):
            m.d.sync += beat.eq(beat + 1)
            with m.If(axi.wlast):
                m.d.sync += beat.eq(0)
        with m.If(axi.wvalid & bursts.head):
            m.d.comb += [
                Assert(axi.wlast == (beat + 1 == bursts.value)), Assert(beat < bursts.value)
            ]
        m.d.comb += [
            # No data before their address is asserted.
            Assert(~axi.wvalid | (bursts.inside != 0)),
            # Under way: data to come, or response to come.
            Assert(port.under_way == bursts.inside + complete),
        ]
        # Where it is: in the queue, then as `left` beats, then as the last beat in the register.
        left = inside.names["left"]
        current, last = left != 0, axi.wvalid & axi.wlast
        bursts.lies_in(
            opened(inside.submodules.lengths).submodules.fifo,
            beyond=current + last,
            every=lambda beats: (beats != 0) & (beats <= BURST_BEATS),
        )
        m.d.comb += [
            Assert(left <= BURST_BEATS),
            Assert(~axi.wvalid | axi.wlast | current),
            Assert((beat == 0) | current | last),
        ]
        with m.If(bursts.following & current & (bursts.ahead == last)):
            with m.If(last):
                m.d.comb += Assert(left == bursts.value)
            with m.Else():
                m.d.comb += Assert(beat + axi.wvalid + left == bursts.value)

        # Beats: each is one of `data`, all its bytes, or one of a stop, none of them.
        stopped, was_aw, was_w = Signal(), Signal(), Signal()
        given, value = Signal(), Signal.like(axi.wdata)
        m.d.sync += [
            stopped.eq(self.stop),
            was_aw.eq(axi.awvalid),
            was_w.eq(axi.wvalid & ~axi.wready),
            given.eq(self.data_valid & port.data.ready),
            value.eq(self.data_payload),
        ]
        m.d.comb += [
            Assert((axi.wstrb == 0) | axi.wstrb.all()),
            Assert(~axi.wvalid | was_w | given | stopped),
            Assert(~given | ~stopped),
        ]
        with m.If(given):
            m.d.comb += [Assert(axi.wvalid), Assert(axi.wdata == value), Assert(axi.wstrb.all())]

        # A stop: no new address, zero strobes, no response; and it ends by itself.
        slow = Signal(3)  # cycles of stop without a beat, one each to the output of the queue,
        lengths = inside.submodules.lengths.o.valid  # to `left` and to the bus
        to_come = (bursts.inside != 0) & ~axi.wvalid
        m.d.sync += slow.eq(Mux(self.stop & to_come, slow + 1, 0))
        m.d.comb += [
            Assert(~self.stop | axi.bready),
            Assert(slow <= 3),
            Assert(~to_come | (slow == 0) | ((slow == 1) & lengths) | (current & (slow <= 2))),
        ]
        with m.If(stopped):
            m.d.comb += [
                Assert(was_aw | ~axi.awvalid),
                Assert(was_w | ~axi.wvalid | (axi.wstrb == 0)),
                Assert(~port.response.valid),
            ]

        # Responses: one entry for each, none for those in a stop.
        unread, failed = Signal(), Signal()
        with m.If(self.stop):
            m.d.sync += unread.eq(0)
        with m.Elif(answered):
            m.d.sync += [unread.eq(1), failed.eq(axi.bresp[1])]
        with m.Elif(self.response_ready):
            m.d.sync += unread.eq(0)
        m.d.comb += [
            Assert(port.response.valid == unread),
            Assert(~unread | (port.response.payload == failed)),
            # A second one is not taken before the first is read.
            Assert(~(answered & unread) | self.stop),
        ]
        counted = Signal()
        m.d.sync += counted.eq(sent)
        m.d.comb += Assert(port.beat == counted)
        if self.cover:
            m.d.comb += [
                Cover((port.under_way == CONFIG.write_outstanding) & (complete == 2)),
                Cover(bursts.head & last & (bursts.value == 3) & (axi.wstrb == 0) & (beat == 2)),
                Cover(bursts.head & last & (bursts.value == 3) & given & port.response.valid),
            ]
        return m


PORTS = [(ReadHarness, ReadPort), (WriteHarness, WritePort)]


@pytest.mark.parametrize(("harness", "port"), PORTS, ids=("read", "write"))
def test_port(harness, port, tmp_path):
    prove(harness(port(CONFIG)), tmp_path, depth=3, solver=SOLVER)


@pytest.mark.parametrize(("harness", "port"), PORTS, ids=("read", "write"))
def test_reachable(harness, port, tmp_path):
    prove(harness(port(CONFIG), cover=True), tmp_path, mode="cover", depth=16, solver=SOLVER)


@pytest.mark.parametrize(
    ("harness", "port", "old", "new"),
    [
        (ReadHarness, ReadPort, "taken & is_fetch & ~self.stop", "taken & is_fetch"),
        (ReadHarness, ReadPort, "owners.o.ready.eq(ended)", "owners.o.ready.eq(taken)"),
        (WriteHarness, WritePort, "ends.eq(left == 1)", "ends.eq(left <= 2)"),
        (WriteHarness, WritePort, "(~self.stop).replicate", "(self.data.valid).replicate"),
    ],
)
def test_broken_ports_are_refuted(harness, port, old, new, tmp_path):
    with pytest.raises(Refuted):
        prove(harness(mutant(port, old, new)(CONFIG)), tmp_path, mode="bmc", depth=8, solver=SOLVER)
