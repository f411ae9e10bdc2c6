"""Reads of one AXI port: addresses out, data back in order, shared with instruction fetch."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import BURST_BEATS, AcceleratorConfig
from .flow import Queue
from .layouts import TAG_BITS, burst_layout

__all__ = ["ReadPort", "ReadChannels"]


class ReadChannels(wiring.Signature):
    """AR and R of a master port."""

    def __init__(self, config: AcceleratorConfig) -> None:
        axi3 = config.axi_protocol == "axi3"
        super().__init__(
            {
                "araddr": Out(config.axi_address_bits),
                "arlen": Out(4 if axi3 else 8),
                "arsize": Out(3),
                "arburst": Out(2),
                "arlock": Out(2 if axi3 else 1),
                "arcache": Out(4),
                "arprot": Out(3),
                "arqos": Out(4),
                "arid": Out(1),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(config.axi_data_bits),
                "rresp": In(2),
                "rid": In(1),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class ReadPort(wiring.Component):
    """Issues read bursts and sorts their data.

    At most ``read_outstanding`` bursts are under way. While `stop` is high nothing new is issued,
    an address already asserted stays until accepted, and all data are dropped; what is under way
    stays counted, so that `idle` is exact.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    burst : In(stream)
        Bursts of the load unit; one in 2 cycles.
    fetch : In(stream)
        Bursts of instruction fetch; goes first.
    data : Out(stream)
        Beats of the load unit, in order. ``rready`` falls when 16 beats wait.
    fetch_data, fetch_data_valid : Out
        Beats of instruction fetch, 1 cycle after the bus.
    fault, fault_fetch, fault_tag : Out
        Pulse; a beat of this owner came with SLVERR or DECERR.
    beat, fetch_beat : Out(1)
        A beat was taken from the bus (registered).
    arena_base : In
        Added to every offset.
    stop : In(1)
        Level, see above.
    under_way : Out
        Bursts whose address was asserted and that have not ended.
    idle : Out(1)
        Nothing is under way.
    axi : Out(ReadChannels(config))
        AR and R, see :class:`ReadChannels`.

    Source
    ------
    AMBA AXI, IHI 0022E, chapter A3.
    """

    #: Cycles from a burst to the next; bus to `fetch_data`, and to `data`.
    BURST_PERIOD = 2
    FETCH_LATENCY = 1
    DATA_LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "burst": In(stream.Signature(burst_layout(config))),
                "fetch": In(stream.Signature(burst_layout(config))),
                "data": Out(stream.Signature(config.axi_data_bits)),
                "fetch_data": Out(config.axi_data_bits),
                "fetch_data_valid": Out(1),
                "fault": Out(1),
                "fault_fetch": Out(1),
                "fault_tag": Out(TAG_BITS),
                "beat": Out(1),
                "fetch_beat": Out(1),
                "arena_base": In(49),
                "stop": In(1),
                "under_way": Out(range(config.read_outstanding + 1)),
                "idle": Out(1),
                "axi": Out(ReadChannels(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, axi = self._config, self.axi
        beat_shift = (config.beat_bytes - 1).bit_length()
        owner = data.StructLayout({"fetch": unsigned(1), "tag": unsigned(TAG_BITS)})
        m.submodules.owners = owners = Queue(owner, depth=config.read_outstanding)
        under_way = self.under_way

        # Addresses. A burst is under way from the moment its address is asserted.
        can_issue, issue = Signal(), Signal()
        chosen = Signal(burst_layout(config))
        m.d.comb += [
            can_issue.eq(
                ~axi.arvalid & ~self.stop & owners.i.ready & (under_way != config.read_outstanding)
            ),
            self.fetch.ready.eq(can_issue),
            self.burst.ready.eq(can_issue & ~self.fetch.valid),
            issue.eq(can_issue & (self.fetch.valid | self.burst.valid)),
            chosen.eq(Mux(self.fetch.valid, self.fetch.payload, self.burst.payload)),
            owners.i.valid.eq(issue),
            owners.i.payload.fetch.eq(self.fetch.valid),
            owners.i.payload.tag.eq(chosen.tag),
            axi.arsize.eq(beat_shift),
            axi.arburst.eq(1),  # INCR
            axi.arcache.eq(0b0011),  # normal, not cacheable, bufferable
        ]
        # What is valid only beside a valid bit takes no reset, which has loads enough.
        address = Signal.like(axi.araddr, reset_less=True)
        length = Signal.like(axi.arlen, reset_less=True)
        m.d.comb += [axi.araddr.eq(address), axi.arlen.eq(length)]
        with m.If(issue):
            m.d.sync += [
                axi.arvalid.eq(1),
                address.eq(self.arena_base + (chosen.offset << beat_shift)),
                length.eq(chosen.beats - 1),
            ]
        with m.Elif(axi.arready):
            m.d.sync += axi.arvalid.eq(0)

        # Data.
        queue = Queue(config.axi_data_bits, depth=BURST_BEATS)
        m.submodules.queue = ResetInserter(self.stop)(queue)
        wiring.connect(m, queue.o, wiring.flipped(self.data))
        taken, ended = Signal(), Signal()
        is_fetch = owners.o.payload.fetch
        m.d.comb += [
            axi.rready.eq(owners.o.valid & (queue.i.ready | is_fetch | self.stop)),
            taken.eq(axi.rvalid & axi.rready),
            ended.eq(taken & axi.rlast),
            owners.o.ready.eq(ended),
            queue.i.valid.eq(taken & ~is_fetch & ~self.stop),
            queue.i.payload.eq(axi.rdata),
            self.idle.eq(under_way == 0),
        ]
        m.d.sync += [
            under_way.eq(under_way + issue - ended),
            self.fetch_data_valid.eq(taken & is_fetch & ~self.stop),
            self.fault.eq(taken & axi.rresp[1] & ~self.stop),
            self.fault_fetch.eq(is_fetch),
            self.fault_tag.eq(owners.o.payload.tag),
            self.beat.eq(taken & ~is_fetch),
            self.fetch_beat.eq(taken & is_fetch),
        ]
        fetched = Signal.like(self.fetch_data, reset_less=True)
        m.d.comb += self.fetch_data.eq(fetched)
        with m.If(taken & is_fetch):
            m.d.sync += fetched.eq(axi.rdata)
        return m
