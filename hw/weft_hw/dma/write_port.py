"""Writes of one AXI port: addresses, data and responses."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .flow import Queue
from .layouts import burst_layout

__all__ = ["WritePort", "WriteChannels"]


class WriteChannels(wiring.Signature):
    """AW, W and B of a master port; WID only on AXI3."""

    def __init__(self, config: AcceleratorConfig) -> None:
        axi3 = config.axi_protocol == "axi3"
        super().__init__(
            {
                "awaddr": Out(config.axi_address_bits),
                "awlen": Out(4 if axi3 else 8),
                "awsize": Out(3),
                "awburst": Out(2),
                "awlock": Out(2 if axi3 else 1),
                "awcache": Out(4),
                "awprot": Out(3),
                "awqos": Out(4),
                "awid": Out(1),
                "awvalid": Out(1),
                "awready": In(1),
                **({"wid": Out(1)} if axi3 else {}),
                "wdata": Out(config.axi_data_bits),
                "wstrb": Out(config.beat_bytes),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bid": In(1),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )


class WritePort(wiring.Component):
    """Issues write bursts, feeds their data and collects their responses.

    At most ``write_outstanding`` bursts are under way. While `stop` is high nothing new is issued,
    an address already asserted stays until accepted, and the data of all bursts under way are
    completed with zero strobes; what is under way stays counted, so that `idle` is exact.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    burst : In(stream)
        Bursts; one in 2 cycles.
    data : In(stream)
        Beats, in the order of the bursts; one a cycle, 1 cycle before the bus.
    response : Out(stream)
        One entry per burst, 1 where the memory answered SLVERR or DECERR.
    beat : Out(1)
        A beat was given to the bus (registered).
    arena_base : In
        Added to every offset.
    stop : In(1)
        Level, see above.
    under_way : Out
        Bursts whose address was asserted and that have not ended.
    idle : Out(1)
        Nothing is under way.
    axi : Out(WriteChannels(config))
        AW, W and B, see :class:`WriteChannels`.

    Source
    ------
    AMBA AXI, IHI 0022E, chapter A3.
    """

    #: Cycles from a burst to the next; `data` to the bus.
    BURST_PERIOD = 2
    LATENCY = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "burst": In(stream.Signature(burst_layout(config))),
                "data": In(stream.Signature(config.axi_data_bits)),
                "response": Out(stream.Signature(1)),
                "beat": Out(1),
                "arena_base": In(49),
                "stop": In(1),
                "under_way": Out(range(config.write_outstanding + 1)),
                "idle": Out(1),
                "axi": Out(WriteChannels(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, axi = self._config, self.axi
        beat_shift = (config.beat_bytes - 1).bit_length()
        m.submodules.lengths = lengths = Queue(5, depth=config.write_outstanding)
        under_way = self.under_way

        # Addresses. A burst is under way from the moment its address is asserted.
        issue = Signal()
        m.d.comb += [
            self.burst.ready.eq(
                ~axi.awvalid
                & ~self.stop
                & lengths.i.ready
                & (under_way != config.write_outstanding)
            ),
            issue.eq(self.burst.valid & self.burst.ready),
            lengths.i.valid.eq(issue),
            lengths.i.payload.eq(self.burst.payload.beats),
            axi.awsize.eq(beat_shift),
            axi.awburst.eq(1),  # INCR
            axi.awcache.eq(0b0011),  # normal, not cacheable, bufferable
        ]
        # What is valid only beside a valid bit takes no reset, which has loads enough.
        address = Signal.like(axi.awaddr, reset_less=True)
        length = Signal.like(axi.awlen, reset_less=True)
        beat = Signal.like(axi.wdata, reset_less=True)
        m.d.comb += [axi.awaddr.eq(address), axi.awlen.eq(length), axi.wdata.eq(beat)]
        with m.If(issue):
            m.d.sync += [
                axi.awvalid.eq(1),
                address.eq(self.arena_base + (self.burst.payload.offset << beat_shift)),
                length.eq(self.burst.payload.beats - 1),
            ]
        with m.Elif(axi.awready):
            m.d.sync += axi.awvalid.eq(0)

        # Data. `left` beats of the current burst have not been given to the output register.
        left = Signal(5)
        send, ends = Signal(), Signal()
        free = ~axi.wvalid | axi.wready
        m.d.comb += [
            self.data.ready.eq((left != 0) & free & ~self.stop),
            send.eq((left != 0) & free & (self.data.valid | self.stop)),
            ends.eq(left == 1),
            lengths.o.ready.eq((left == 0) | (send & ends)),
        ]
        with m.If(lengths.o.ready):
            m.d.sync += left.eq(lengths.o.payload & lengths.o.valid.replicate(5))
        with m.Elif(send):
            m.d.sync += left.eq(left - 1)
        with m.If(send):
            m.d.sync += [
                axi.wvalid.eq(1),
                beat.eq(self.data.payload),
                axi.wstrb.eq((~self.stop).replicate(config.beat_bytes)),
                axi.wlast.eq(ends),
            ]
        with m.Elif(axi.wready):
            m.d.sync += axi.wvalid.eq(0)

        # Responses.
        answered = Signal()
        m.d.comb += [
            axi.bready.eq(~self.response.valid | self.stop),
            answered.eq(axi.bvalid & axi.bready),
            self.idle.eq(under_way == 0),
        ]
        with m.If(self.stop):
            m.d.sync += self.response.valid.eq(0)
        with m.Elif(answered):
            m.d.sync += [self.response.valid.eq(1), self.response.payload.eq(axi.bresp[1])]
        with m.Elif(self.response.ready):
            m.d.sync += self.response.valid.eq(0)
        m.d.sync += [
            under_way.eq(under_way + issue - answered),
            self.beat.eq(axi.wvalid & axi.wready),
        ]
        return m
