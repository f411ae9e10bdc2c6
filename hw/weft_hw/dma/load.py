"""The load unit: DRAM to on-chip memories, all ports together."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import ChipWrite, ErrorPort, Retire, StartLayout, chip_write_layout
from ..isa import ErrorCode, Opcode
from .faults import FirstFault
from .flow import Queue, RoundRobin, Skid
from .layouts import Fault, burst_layout
from .ledger import Ledger
from .load_lane import LoadLane, context_layout
from .walker import Walker

__all__ = ["Load"]


class Load(wiring.Component):
    """Moves transfers from the arena to the chip, striped over all ports.

    Bursts of following transfers are issued while earlier data are under way. Reset it as a whole
    to abandon everything.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    start : In(stream)
        Instructions, see :class:`.ledger.Ledger`.
    retire : Out(Retire())
        A transfer retires when its last word was accepted by `chip_write`.
    busy : Out(1)
        A transfer is in flight.
    bursts : Out(stream).array(P)
        Per port, to :class:`.read_port.ReadPort`.
    data : In(stream).array(P), faults : In(Fault()).array(P)
        What comes from there; a fault's code is ignored, it is BUS_READ.
    chip_write : Out(ChipWrite(config))
        Gathered words, one a cycle; words of different ports interleave.
    arena_bytes : In
        Size of the arena.
    error : Out(ErrorPort())
        First fault.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        ports = config.axi_ports
        super().__init__(
            {
                "start": In(stream.Signature(StartLayout)),
                "retire": Out(Retire()),
                "busy": Out(1),
                "bursts": Out(stream.Signature(burst_layout(config))).array(ports),
                "data": In(stream.Signature(config.axi_data_bits)).array(ports),
                "faults": In(Fault()).array(ports),
                "chip_write": Out(ChipWrite(config)),
                "arena_bytes": In(32),
                "error": Out(ErrorPort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ports = config.axi_ports
        m.submodules.ledger = ledger = Ledger(config, Opcode.LOAD)
        m.submodules.first = first = FirstFault(2 * ports)
        wiring.connect(m, wiring.flipped(self.start), ledger.start)
        wiring.connect(m, wiring.flipped(self.retire), ledger.retire)
        wiring.connect(m, wiring.flipped(self.error), first.error)
        m.d.comb += [
            self.busy.eq(ledger.busy),
            ledger.tag.eq(first.tag),
            first.index.eq(ledger.index),
            ledger.hold.eq(first.failed),
        ]

        out = data.StructLayout({"write": chip_write_layout(config), "last": unsigned(ports)})
        m.submodules.skid = skid = Skid(out)
        m.submodules.turn = turn = RoundRobin(ports)
        walkers, lanes = [], []
        for p in range(ports):
            walker, lane = Walker(config, p), LoadLane(config)
            context = Queue(context_layout(config), depth=2 * config.read_outstanding)
            m.submodules[f"walker{p}"], m.submodules[f"lane{p}"] = walker, lane
            m.submodules[f"context{p}"] = context
            walkers.append(walker)
            lanes.append(lane)
            wiring.connect(m, context.o, lane.context)
            wiring.connect(m, wiring.flipped(self.data[p]), lane.data)
            wiring.connect(m, walker.fault, first.faults[p])

            # A piece goes into the queue of contexts, then, or at once, to the bus; a fill, and an
            # end marker, go only there. The queue does not wait for the bus: its ready comes late.
            piece, burst = walker.piece, self.bursts[p]
            queued, waits = Signal(name=f"queued{p}"), Signal(name=f"waits{p}")
            to_bus = (piece.payload.beats != 0) & ~piece.payload.fill
            m.d.comb += [
                walker.arena_bytes.eq(self.arena_bytes),
                waits.eq(~queued & ~context.i.ready),
                burst.valid.eq(piece.valid & to_bus & ~waits),
                context.i.valid.eq(piece.valid & ~queued),
                piece.ready.eq(~waits & (~to_bus | burst.ready)),
                burst.payload.offset.eq(piece.payload.offset),
                burst.payload.beats.eq(piece.payload.beats),
                burst.payload.tag.eq(piece.payload.tag),
                context.i.payload.chip.eq(piece.payload.chip),
                context.i.payload.beats.eq(piece.payload.beats),
                context.i.payload.space.eq(piece.payload.space),
                context.i.payload.last.eq(piece.payload.last),
                context.i.payload.fill.eq(piece.payload.fill),
                context.i.payload.value.eq(piece.payload.value),
                first.faults[ports + p].valid.eq(self.faults[p].valid),
                first.faults[ports + p].tag.eq(self.faults[p].tag),
                first.faults[ports + p].code.eq(ErrorCode.BUS_READ),
                turn.requests[p].eq(lane.word.valid),
                lane.word.ready.eq(turn.grant[p] & skid.i.ready),
            ]
            m.d.sync += queued.eq(piece.valid & ~piece.ready & ~waits)
            with m.If(turn.grant[p]):
                m.d.comb += [
                    skid.i.payload.write.eq(lane.word.payload.write),
                    skid.i.payload.last.eq(lane.word.payload.last << p),
                ]

        everyone = Signal()
        m.d.comb += [
            everyone.eq(Cat(w.transfer.ready for w in walkers).all()),
            ledger.transfer.ready.eq(everyone),
            turn.accept.eq(skid.i.ready),
            skid.i.valid.eq(turn.requests != 0),
        ]
        for walker in walkers:
            m.d.comb += [
                walker.transfer.payload.eq(ledger.transfer.payload),
                walker.transfer.valid.eq(ledger.transfer.valid & everyone),
            ]

        # End markers stop here; they carry no data.
        written = skid.o.payload.write
        m.d.comb += [
            self.chip_write.payload.eq(written),
            self.chip_write.valid.eq(skid.o.valid & (written.mask != 0)),
            skid.o.ready.eq(self.chip_write.ready | (written.mask == 0)),
            ledger.done.eq(skid.o.payload.last & (skid.o.valid & skid.o.ready).replicate(ports)),
        ]
        return m
