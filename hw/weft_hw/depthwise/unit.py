"""The depthwise unit: slots, window, taps, lanes, and the results on their way."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..compute.hold import posts_of
from ..config import AcceleratorConfig
from ..delay import delay
from ..dma.flow import Skid
from ..interface import INDEX_BITS, BeatWrite, UnitPort, field
from ..isa import ErrorCode, Opcode
from ..memory.scratchpad import LineRead, LineWrite, Scratchpad
from .lanes import Lanes
from .slots import Slots
from .taps import TapMemory
from .window import Window

__all__ = ["DepthwiseUnit"]

#: Results in flight, and waiting for their bank, at most.
RESULTS = 16


class DepthwiseUnit(wiring.Component):
    """DEPTHWISE, one instruction at a time, R channels of a line each cycle.

    Parameters
    ----------
    config : AcceleratorConfig, with ``tap_words``

    Members
    -------
    port : In(UnitPort())
    read : Out(LineRead(config))
        Lines of the scratchpad; a read waits where its bank is taken.
    write : Out(LineWrite(config))
        Results; a write waits likewise.
    taps : In(BeatWrite(config))
        What loads write into the tap memory.
    table_write_en, table_write_address, table_write_data : In
        What loads write into tables.
    fire : Out(1)
        The lanes multiply.

    Latency
    -------
    ``LATENCY`` cycles from the last read of a result to its write.
    """

    LATENCY = Scratchpad.LINE_LATENCY + 1 + Lanes.LATENCY + 3

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        table_bits = (config.tables * 256 - 1).bit_length()
        super().__init__(
            {
                "port": In(UnitPort()),
                "read": Out(LineRead(config)),
                "write": Out(LineWrite(config)),
                "taps": In(BeatWrite(config)),
                "table_write_en": In(1),
                "table_write_address": In(table_bits),
                "table_write_data": In(8),
                "fire": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        m.submodules.slots = slots = Slots(cfg)
        m.submodules.taps = taps = TapMemory(cfg)
        m.submodules.window = window = Window(cfg)
        m.submodules.lanes = lanes = Lanes(cfg)
        wiring.connect(m, wiring.flipped(self.port.start), slots.start)
        wiring.connect(m, wiring.flipped(self.taps), taps.write)

        def get(name: str) -> Value:
            return field(slots.held.word, Opcode.DEPTHWISE, name)

        slot = slots.slot.payload
        go = slots.slot.valid & slots.slot.ready
        m.d.comb += [
            self.read.valid.eq(slots.slot.valid & slot.read),
            self.read.line.eq(slot.line),
            slots.slot.ready.eq(~slot.read | self.read.ready),
        ]

        # Lines come LINE_LATENCY cycles behind their slots, and words of taps with their windows.
        reach = Scratchpad.LINE_LATENCY
        early = reach + 1 - TapMemory.LATENCY
        flags = Cat(slot.read, slot.fire, slot.emit, slot.parameters) & go.replicate(4)
        valid = delay(m, flags, reach, name="flags", reset=True)
        at_lanes = delay(m, valid[1:3], 1, name="lane_flags", reset=True)
        m.d.comb += [
            taps.address.eq(delay(m, slot.tap, early, name="tap")),
            window.delays[0].eq(get("delay1")),
            window.delays[1].eq(get("delay2")),
            window.load.eq(slots.load),
            window.valid.eq(valid[0]),
            window.line.eq(self.read.data),
            lanes.pixels.eq(window.taps),
            lanes.taps.eq(taps.data),
            lanes.fire.eq(at_lanes[0]),
            lanes.emit.eq(at_lanes[1]),
            lanes.parameters.eq(valid[3]),
            lanes.first.eq(delay(m, slot.first, reach + 1, name="first")),
            lanes.which.eq(delay(m, slot.which, reach, name="which")),
            lanes.setup.pre.eq(get("pre")),
            lanes.setup.zero_point.eq(get("zero_point")),
            lanes.setup.low.eq(get("low")),
            lanes.setup.high.eq(get("high")),
            lanes.table_enable.eq(get("table_enable")),
            lanes.table.eq(get("table")),
            lanes.table_write_en.eq(self.table_write_en),
            lanes.table_write_address.eq(self.table_write_address),
            lanes.table_write_data.eq(self.table_write_data),
            self.fire.eq(at_lanes[0]),
        ]

        # Results wait here for their banks; a slot with a result needs a place. Whether a bank is
        # taken is known late: the queue does not look at it.
        where = delay(
            m, Cat(slot.result, slot.final), reach + 1 + Lanes.LATENCY, name="where"
        )
        m.submodules.results = results = SyncFIFOBuffered(
            width=len(lanes.line) + len(where), depth=RESULTS
        )
        m.submodules.leaving = leaving = Skid(len(results.r_data))
        line, target = (
            leaving.o.payload[: len(lanes.line)],
            leaving.o.payload[len(lanes.line) :],
        )
        written = leaving.o.valid & leaving.o.ready
        m.d.comb += [
            results.w_data.eq(Cat(lanes.line, where)),
            results.w_en.eq(lanes.valid),
            leaving.i.payload.eq(results.r_data),
            leaving.i.valid.eq(results.r_rdy),
            results.r_en.eq(leaving.i.ready),
            self.write.valid.eq(leaving.o.valid),
            self.write.line.eq(target[:-1]),
            self.write.data.eq(line),
            leaving.o.ready.eq(self.write.ready),
        ]
        in_flight = Signal(range(RESULTS + 1))
        m.d.sync += [
            in_flight.eq(in_flight + slots.issued - written),
            # A cycle late, so one result less.
            slots.credit.eq(in_flight < RESULTS - 1),
        ]
        m.d.comb += slots.idle.eq(in_flight == 0)
        m.d.sync += [
            self.port.retire.valid.eq(written & target[-1]),
            self.port.retire.posts.eq(posts_of(slots.held.word)),
        ]

        # Bounds, a cycle behind what they are of.
        lines = cfg.scratchpad_bytes // cfg.line_bytes
        outside = Signal(3)
        index = Signal(INDEX_BITS, reset_less=True)
        m.d.sync += [
            outside.eq(
                Cat(
                    self.read.valid & (slot.line >= lines),
                    slots.slot.valid & slot.emit & (slot.result >= lines),
                    slots.slot.valid & (slot.fire | slot.parameters) & (slot.tap >= cfg.tap_words),
                )
            ),
            index.eq(slots.held.index),
            self.port.error.valid.eq(outside.any()),
            self.port.error.code.eq(ErrorCode.ADDRESS),
            self.port.error.index.eq(index),
        ]
        return m

