"""Data movement between DRAM and the on-chip memories: load, store and fetch over all AXI ports."""

from __future__ import annotations

from functools import reduce

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import BURST_BEATS, AcceleratorConfig
from ..interface import INDEX_BITS, Arena, ChipRead, ChipWrite, FetchPort, UnitPort
from ..isa import ErrorCode
from .fetch import Fetch
from .load import Load
from .read_port import ReadChannels, ReadPort
from .store import Store
from .write_port import WriteChannels, WritePort

__all__ = ["NO_INSTRUCTION", "AxiPort", "Dma"]

#: Index in an error that instruction fetch itself met.
NO_INSTRUCTION = (1 << INDEX_BITS) - 1
#: Cycles after `abort` in which answers of the scratchpad may still arrive.
SETTLE_CYCLES = 15


class AxiPort(wiring.Signature):
    """An AXI master: its reads and its writes."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__({"read": Out(ReadChannels(config)), "write": Out(WriteChannels(config))})


class Dma(wiring.Component):
    """Everything between the AXI data ports and the core.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    load, store : ``In(UnitPort())``
        The units. ``load.error`` is the first fault since `abort`, of loads, stores and fetch:
        ARENA, ADDRESS, BUS_READ or BUS_WRITE; the index is ``NO_INSTRUCTION`` where a fetch met it.
    fetch : ``In(FetchPort(config))``
        Instruction fetch.
    chip_write : ``Out(ChipWrite(config))``
        What loads write.
    chip_read : ``Out(ChipRead(config))``
        What stores read.
    arena : ``In(Arena())``
        Constant outside `abort`.
    abort : ``In(1)``
        Level; abandons all transfers. The buses finish on their own.
    bus_idle : ``Out(1)``
        Nothing is under way on any port, and nothing can come from before an `abort`. Until it is
        high after an `abort`, nothing new is accepted.
    load_busy, store_busy : ``Out(1)``
        A transfer is in flight.
    beats_read, beats_written : ``Out(range(P + 1))``
        Beats on the bus in this cycle, for counters.
    beats_fetched : ``Out(1)``
        The same of fetch.
    axi : ``Out(AxiPort(config)).array(P)``
        AXI masters.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        ports = config.axi_ports
        super().__init__(
            {
                "load": In(UnitPort()),
                "store": In(UnitPort()),
                "fetch": In(FetchPort(config)),
                "chip_write": Out(ChipWrite(config)),
                "chip_read": Out(ChipRead(config)),
                "arena": In(Arena()),
                "abort": In(1),
                "bus_idle": Out(1),
                "load_busy": Out(1),
                "store_busy": Out(1),
                "beats_read": Out(range(ports + 1)),
                "beats_fetched": Out(1),
                "beats_written": Out(range(ports + 1)),
                "axi": Out(AxiPort(config)).array(ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ports = config.axi_ports
        reads = [ReadPort(config) for _ in range(ports)]
        writes = [WritePort(config) for _ in range(ports)]
        load, store, fetch = Load(config), Store(config), Fetch(config)

        # After an abort everything but the bus ports stays in reset until the buses are clean.
        draining, settle = Signal(), Signal(range(SETTLE_CYCLES + 1))
        stop, quiet = Signal(), Signal()
        m.d.comb += [
            quiet.eq(Cat(port.idle for port in (*reads, *writes)).all()),
            stop.eq(self.abort | draining),
            self.bus_idle.eq(quiet & ~draining),
        ]
        with m.If(self.abort):
            m.d.sync += [draining.eq(1), settle.eq(SETTLE_CYCLES)]
        with m.Elif(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        with m.Elif(quiet):
            m.d.sync += draining.eq(0)
        stopped = ResetInserter(stop)
        m.submodules.load = stopped(load)
        m.submodules.store = stopped(store)
        m.submodules.fetch = stopped(fetch)

        for p, (read, write) in enumerate(zip(reads, writes, strict=True)):
            m.submodules[f"read{p}"], m.submodules[f"write{p}"] = read, write
            for port in (read, write):
                m.d.comb += [port.arena_base.eq(self.arena.base), port.stop.eq(stop)]
            wiring.connect(m, read.axi, wiring.flipped(self.axi[p].read))
            wiring.connect(m, write.axi, wiring.flipped(self.axi[p].write))
            wiring.connect(m, load.bursts[p], read.burst)
            wiring.connect(m, read.data, load.data[p])
            wiring.connect(m, store.bursts[p], write.burst)
            wiring.connect(m, store.beats[p], write.data)
            wiring.connect(m, write.response, store.responses[p])
            m.d.comb += [
                load.faults[p].valid.eq(read.fault & ~read.fault_fetch),
                load.faults[p].tag.eq(read.fault_tag),
            ]

        # Fetch takes the port that owns the stripe, but changes port only when none of its beats
        # are under way, so that beats stay in order.
        turn = Signal(range(max(2, ports)))
        stripe = fetch.burst.payload.offset[(BURST_BEATS - 1).bit_length() :]  # of beats
        owner = stripe[: (ports - 1).bit_length()] if ports > 1 else 0
        expected = Signal(16)  # beats under way
        chosen = Signal.like(turn)
        accepted = fetch.burst.valid & fetch.burst.ready
        arrived = Cat(r.fetch_data_valid for r in reads).any()
        # The choice is registered, and the port sees it with the burst: its offset is here a cycle
        # before it is offered, and `expected` two cycles after the burst before, which is when that
        # cycle begins.
        none_expected = Signal(init=1)
        m.d.sync += none_expected.eq(
            stop | (expected == 0) | ((expected == 1) & arrived)
        )
        m.d.sync += chosen.eq(Mux(none_expected, owner, turn))
        m.d.sync += expected.eq(
            Mux(stop, 0, expected + Mux(accepted, fetch.burst.payload.beats, 0) - arrived)
        )
        with m.If(accepted):
            m.d.sync += turn.eq(chosen)
        for p, read in enumerate(reads):
            m.d.comb += [
                read.fetch.payload.eq(fetch.burst.payload),
                read.fetch.valid.eq(fetch.burst.valid & (chosen == p)),
            ]
            with m.If(chosen == p):
                m.d.comb += fetch.burst.ready.eq(read.fetch.ready)
        wiring.connect(m, load.retire, wiring.flipped(self.load.retire))
        wiring.connect(m, store.retire, wiring.flipped(self.store.retire))
        wiring.connect(m, load.chip_write, wiring.flipped(self.chip_write))
        wiring.connect(m, store.chip_read, wiring.flipped(self.chip_read))
        m.d.comb += [
            load.start.payload.eq(self.load.start.payload),
            load.start.valid.eq(self.load.start.valid & ~stop),
            self.load.start.ready.eq(load.start.ready & ~stop),
            store.start.payload.eq(self.store.start.payload),
            store.start.valid.eq(self.store.start.valid & ~stop),
            self.store.start.ready.eq(store.start.ready & ~stop),
            self.load_busy.eq(load.busy),
            self.store_busy.eq(store.busy),
            load.arena_bytes.eq(self.arena.bytes),
            store.arena_bytes.eq(self.arena.bytes),
            fetch.arena_bytes.eq(self.arena.bytes),
            fetch.offset.eq(self.fetch.offset),
            fetch.beats.eq(self.fetch.beats),
            fetch.valid.eq(self.fetch.valid & ~stop),
            self.fetch.ready.eq(fetch.ready & ~stop),
            self.fetch.data.eq(
                reduce(
                    lambda a, b: a | b,
                    (Mux(r.fetch_data_valid, r.fetch_data, 0) for r in reads),
                )
            ),
            self.fetch.data_valid.eq(arrived),
            self.beats_fetched.eq(Cat(r.fetch_beat for r in reads).any()),
            self.beats_read.eq(reduce(lambda a, b: a + b, (r.beat for r in reads))),
            self.beats_written.eq(reduce(lambda a, b: a + b, (w.beat for w in writes))),
        ]

        # The first error since the last stop, once.
        error, reported = self.load.error, Signal()
        m.d.sync += error.valid.eq(0)
        with m.If(stop):
            m.d.sync += reported.eq(0)
        with m.Elif(~reported):
            fetch_failed = Cat(read.fault & read.fault_fetch for read in reads).any()
            for valid, code, index in (
                (fetch_failed, ErrorCode.BUS_READ, NO_INSTRUCTION),
                (fetch.outside, ErrorCode.ARENA, NO_INSTRUCTION),
                (store.error.valid, store.error.code, store.error.index),
                (load.error.valid, load.error.code, load.error.index),
            ):
                with m.If(valid):
                    m.d.sync += [
                        reported.eq(1),
                        error.valid.eq(1),
                        error.code.eq(code),
                        error.index.eq(index),
                    ]
        return m
