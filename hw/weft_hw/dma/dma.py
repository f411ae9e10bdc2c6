"""Data movement between DRAM and the on-chip memories: load, store and fetch over all AXI ports."""

from __future__ import annotations

from functools import reduce

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import BURST_BEATS, AcceleratorConfig
from ..interface import INDEX_BITS, ChipRead, ChipWrite, ErrorPort, Retire, StartLayout
from ..isa import ErrorCode
from .fetch import Fetch
from .load import Load
from .read_port import ReadPort, read_signals
from .store import Store
from .write_port import WritePort, write_signals

__all__ = ["NO_INSTRUCTION", "Dma"]

#: Index in an error that instruction fetch itself met.
NO_INSTRUCTION = (1 << INDEX_BITS) - 1
#: Cycles after `abort` in which answers of the scratchpad may still arrive.
SETTLE_CYCLES = 15


class Dma(wiring.Component):
    """Everything between the AXI data ports and the core.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    load_start, store_start : instructions whose waits are satisfied.
    load_retire, store_retire : completions, in order per unit.
    load_busy, store_busy : a transfer is in flight.
    fetch_offset, fetch_beats, fetch_valid, fetch_ready : instruction fetch: bytes in the arena,
        multiple of 16; 1..16 beats that do not cross a stripe.
    fetch_data, fetch_data_valid : its beats, in order, without back-pressure.
    chip_write, chip_read : on-chip memories.
    arena_base, arena_bytes : physical address of offset 0, and size; constant outside `abort`.
    abort : level; abandons all transfers. The buses finish on their own.
    bus_idle : nothing is under way on any port, and nothing can come from before an `abort`.
        Until it is high after an `abort`, nothing new is accepted.
    error : first fault since `abort`: ARENA, ADDRESS, BUS_READ or BUS_WRITE. The index is
        ``NO_INSTRUCTION`` where a fetch met it.
    beats_read, beats_written, beats_fetched : beats on the bus in this cycle, for counters.
    m_axi{p}_* : AXI master port p.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        ports = config.axi_ports
        members: dict[str, wiring.Member] = {
            "load_start": In(stream.Signature(StartLayout)),
            "store_start": In(stream.Signature(StartLayout)),
            "load_retire": Out(Retire()),
            "store_retire": Out(Retire()),
            "load_busy": Out(1),
            "store_busy": Out(1),
            "fetch_offset": In(32),
            "fetch_beats": In(5),
            "fetch_valid": In(1),
            "fetch_ready": Out(1),
            "fetch_data": Out(config.axi_data_bits),
            "fetch_data_valid": Out(1),
            "chip_write": Out(ChipWrite(config)),
            "chip_read": Out(ChipRead(config)),
            "arena_base": In(49),
            "arena_bytes": In(32),
            "abort": In(1),
            "bus_idle": Out(1),
            "error": Out(ErrorPort()),
            "beats_read": Out(range(ports + 1)),
            "beats_fetched": Out(1),
            "beats_written": Out(range(ports + 1)),
        }
        for p in range(ports):
            for name, member in (read_signals(config) | write_signals(config)).items():
                members[f"m_axi{p}_{name}"] = member
        super().__init__(members)

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
                m.d.comb += [port.arena_base.eq(self.arena_base), port.stop.eq(stop)]
                for name, member in port.axi.signature.members.items():
                    inner, outer = getattr(port.axi, name), getattr(self, f"m_axi{p}_{name}")
                    out = member.flow == Out
                    m.d.comb += outer.eq(inner) if out else inner.eq(outer)
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
        # The choice is registered, and the port sees it with the burst: offset and `expected` are
        # here a cycle before the burst is offered, and only an accepted burst adds to `expected`.
        none_expected = Signal(init=1)
        m.d.sync += none_expected.eq(
            stop | (~accepted & ((expected == 0) | ((expected == 1) & arrived)))
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
        wiring.connect(m, load.retire, wiring.flipped(self.load_retire))
        wiring.connect(m, store.retire, wiring.flipped(self.store_retire))
        wiring.connect(m, load.chip_write, wiring.flipped(self.chip_write))
        wiring.connect(m, store.chip_read, wiring.flipped(self.chip_read))
        m.d.comb += [
            load.start.payload.eq(self.load_start.payload),
            load.start.valid.eq(self.load_start.valid & ~stop),
            self.load_start.ready.eq(load.start.ready & ~stop),
            store.start.payload.eq(self.store_start.payload),
            store.start.valid.eq(self.store_start.valid & ~stop),
            self.store_start.ready.eq(store.start.ready & ~stop),
            self.load_busy.eq(load.busy),
            self.store_busy.eq(store.busy),
            load.arena_bytes.eq(self.arena_bytes),
            store.arena_bytes.eq(self.arena_bytes),
            fetch.arena_bytes.eq(self.arena_bytes),
            fetch.offset.eq(self.fetch_offset),
            fetch.beats.eq(self.fetch_beats),
            fetch.valid.eq(self.fetch_valid & ~stop),
            self.fetch_ready.eq(fetch.ready & ~stop),
            self.fetch_data.eq(
                reduce(
                    lambda a, b: a | b,
                    (Mux(r.fetch_data_valid, r.fetch_data, 0) for r in reads),
                )
            ),
            self.fetch_data_valid.eq(arrived),
            self.beats_fetched.eq(Cat(r.fetch_beat for r in reads).any()),
            self.beats_read.eq(reduce(lambda a, b: a + b, (r.beat for r in reads))),
            self.beats_written.eq(reduce(lambda a, b: a + b, (w.beat for w in writes))),
        ]

        # The first error since the last stop, once.
        reported = Signal()
        m.d.sync += self.error.valid.eq(0)
        with m.If(stop):
            m.d.sync += reported.eq(0)
        with m.Elif(~reported):
            fetch_failed = reads[0].fault & reads[0].fault_fetch
            for valid, code, index in (
                (fetch_failed, ErrorCode.BUS_READ, NO_INSTRUCTION),
                (fetch.outside, ErrorCode.ARENA, NO_INSTRUCTION),
                (store.error.valid, store.error.code, store.error.index),
                (load.error.valid, load.error.code, load.error.index),
            ):
                with m.If(valid):
                    m.d.sync += [
                        reported.eq(1),
                        self.error.valid.eq(1),
                        self.error.code.eq(code),
                        self.error.index.eq(index),
                    ]
        return m
