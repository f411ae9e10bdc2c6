"""The store unit: scratchpad to DRAM, all ports together."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import ChipRead, ErrorPort, Retire, StartLayout, chip_address_bits
from ..isa import ErrorCode, Opcode
from .faults import FirstFault
from .flow import Queue, RoundRobin, Skid
from .layouts import TAG_BITS, burst_layout
from .ledger import Ledger
from .store_lane import StoreLane, job_layout, part_layout
from .walker import Walker

__all__ = ["Store"]


class Store(wiring.Component):
    """Moves transfers from the scratchpad to the arena, striped over all ports.

    Words are read ahead of the bursts that they belong to, and wait for nothing but room; so every
    burst that is issued is fed. Reset the unit as a whole to abandon everything.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    start : In(stream)
        Instructions, see :class:`.ledger.Ledger`.
    retire : Out(Retire())
        A transfer retires when all its responses have come.
    busy : Out(1)
        A transfer is in flight.
    bursts, beats : Out(stream).array(P)
        Per port, to :class:`.write_port.WritePort`.
    responses : In(stream).array(P)
        What comes from there.
    chip_read : Out(ChipRead(config))
        Scratchpad words; at most 8 cycles of latency at full rate, any at less.
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
                "beats": Out(stream.Signature(config.axi_data_bits)).array(ports),
                "responses": In(stream.Signature(1)).array(ports),
                "chip_read": Out(ChipRead(config)),
                "arena_bytes": In(32),
                "error": Out(ErrorPort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ports = config.axi_ports
        m.submodules.ledger = ledger = Ledger(config, Opcode.STORE)
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

        asked = data.StructLayout({"port": unsigned(ports), "part": part_layout(config)})
        m.submodules.skid = skid = Skid(chip_address_bits(config))
        m.submodules.turn = turn = RoundRobin(ports)
        m.submodules.asked = reads = Queue(asked, depth=32)
        pending = data.StructLayout(
            {"tag": unsigned(TAG_BITS), "marker": unsigned(1), "last": unsigned(1)}
        )
        walkers = []
        for p in range(ports):
            walker, lane = Walker(config, p), StoreLane(config)
            # Data are read ahead of the addresses, by as many bursts as wait in `ahead`.
            ahead = Queue(burst_layout(config), depth=4)
            jobs = Queue(job_layout(config), depth=4)
            order = Queue(pending, depth=2 * config.write_outstanding + 4)
            m.submodules[f"walker{p}"], m.submodules[f"lane{p}"] = walker, lane
            m.submodules[f"jobs{p}"], m.submodules[f"order{p}"] = jobs, order
            m.submodules[f"ahead{p}"] = ahead
            walkers.append(walker)
            wiring.connect(m, jobs.o, lane.job)
            wiring.connect(m, lane.beat, wiring.flipped(self.beats[p]))
            wiring.connect(m, walker.fault, first.faults[p])

            # A piece goes to the bus, to the lane and into the order; an end marker only there.
            wiring.connect(m, ahead.o, wiring.flipped(self.bursts[p]))
            piece, burst = walker.piece, ahead.i
            to_bus = piece.payload.beats != 0
            # A piece comes every other cycle at most, so what had room a cycle ago still has.
            room = Signal(name=f"room{p}")
            m.d.sync += room.eq(order.i.ready & jobs.i.ready & burst.ready)
            m.d.comb += [
                walker.arena_bytes.eq(self.arena_bytes),
                burst.valid.eq(piece.valid & to_bus & room),
                jobs.i.valid.eq(burst.valid),
                piece.ready.eq(room),
                order.i.valid.eq(piece.valid & room),
                burst.payload.offset.eq(piece.payload.offset),
                burst.payload.beats.eq(piece.payload.beats),
                burst.payload.tag.eq(piece.payload.tag),
                jobs.i.payload.chip.eq(piece.payload.chip),
                jobs.i.payload.beats.eq(piece.payload.beats),
                order.i.payload.tag.eq(piece.payload.tag),
                order.i.payload.marker.eq(~to_bus),
                order.i.payload.last.eq(piece.payload.last),
            ]

            # Responses come in order.
            response, oldest = self.responses[p], order.o.payload
            ended = order.o.valid & order.o.ready
            m.d.comb += [
                order.o.ready.eq(oldest.marker | response.valid),
                response.ready.eq(order.o.valid & ~oldest.marker),
                first.faults[ports + p].valid.eq(ended & ~oldest.marker & response.payload),
                first.faults[ports + p].tag.eq(oldest.tag),
                first.faults[ports + p].code.eq(ErrorCode.BUS_WRITE),
                ledger.done[p].eq(ended & oldest.last),
            ]

            # Reads take turns; an answer goes to the lane that asked.
            m.d.comb += [
                turn.requests[p].eq(lane.request.valid),
                lane.request.ready.eq(turn.grant[p] & turn.accept),
                lane.word.eq(self.chip_read.data),
                lane.word_part.eq(reads.o.payload.part),
                lane.word_valid.eq(
                    self.chip_read.data_valid & reads.o.valid & reads.o.payload.port[p]
                ),
            ]
            with m.If(turn.grant[p]):
                m.d.comb += [
                    skid.i.payload.eq(lane.request.payload.address),
                    reads.i.payload.part.eq(lane.request.payload.part),
                ]

        everyone = Signal()
        m.d.comb += [
            everyone.eq(Cat(w.transfer.ready for w in walkers).all()),
            ledger.transfer.ready.eq(everyone),
            turn.accept.eq(skid.i.ready & reads.i.ready),
            skid.i.valid.eq((turn.requests != 0) & reads.i.ready),
            reads.i.valid.eq((turn.requests != 0) & skid.i.ready),
            reads.i.payload.port.eq(turn.grant),
            reads.o.ready.eq(self.chip_read.data_valid),
            self.chip_read.address.eq(skid.o.payload),
            self.chip_read.valid.eq(skid.o.valid),
            skid.o.ready.eq(self.chip_read.ready),
        ]
        for walker in walkers:
            m.d.comb += [
                walker.transfer.payload.eq(ledger.transfer.payload),
                walker.transfer.valid.eq(ledger.transfer.valid & everyone),
            ]
        return m
