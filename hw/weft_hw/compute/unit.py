"""The compute unit: sequencer, array, lanes and result writer in a rigid pipeline."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..interface import POST_BITS, BeatWrite, UnitPort
from ..memory.parameters import ParameterMemory
from ..memory.scratchpad import ResultWrite, Scratchpad, WordRead
from ..memory.table import TableLoader
from ..memory.weight_buffer import WeightBuffer
from ..numerics import TABLE_SIZE
from ..repeat import repeated
from .accumulator import AccumulatorControl
from .array import Array
from .lane import LanePair
from .result import ResultWriter
from .sequencer import Sequencer

__all__ = ["ComputeUnit"]

#: Cycles from a write that the result writer presents to a read that sees it, with room.
SETTLE = 4


class ComputeUnit(wiring.Component):
    """MATMUL and SETUP. Nothing behind the sequencer ever stalls.

    Members
    -------
    port : In(UnitPort())
        MATMUL and SETUP.
    array : Out(WordRead(config))
        Scratchpad reads, answered ``Scratchpad.LATENCY`` cycles later.
    result : Out(ResultWrite(config))
        Scratchpad writes, which always proceed.
    weights, parameters, tables : In(BeatWrite(config))
        What loads write; only `tables` makes them wait.
    array_row : Out(1)
        A row enters the array.
    wait : Out(1)
        A row waited.
    table_write_en, table_write_address, table_write_data : Out
        Writes of loads into the tables, a byte each, for the tables of other units.

    Latency
    -------
    ``LATENCY`` cycles from a row's issue to its (requantised) result in the scratchpad; it depends
    on `target`, the form of the cells (``target.TARGETS``). An instruction retires
    ``RETIRE_LATENCY`` cycles after the issue of its last row, one before the result is there: its
    posts take 2 to reach a wait.
    """

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.config = config
        self.target = target
        self._array = Array(config, target)
        self.PSUM = Scratchpad.LATENCY + self._array.LATENCY
        self.LATENCY = self.PSUM + LanePair.LATENCY + config.cols // 2 + SETTLE
        self.RETIRE_LATENCY = self.LATENCY - 1
        tables = range(config.tables * TABLE_SIZE)
        super().__init__(
            {
                "port": In(UnitPort()),
                "array": Out(WordRead(config)),
                "result": Out(ResultWrite(config)),
                "weights": In(BeatWrite(config)),
                "parameters": In(BeatWrite(config)),
                "tables": In(BeatWrite(config)),
                "array_row": Out(1),
                "wait": Out(1),
                "table_write_en": Out(1),
                "table_write_address": Out(tables),
                "table_write_data": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        m.submodules.sequencer = sequencer = Sequencer(cfg)
        m.submodules.weights = weights = WeightBuffer(cfg)
        m.submodules.parameters = parameters = ParameterMemory(cfg)
        m.submodules.tables = tables = TableLoader(cfg)
        m.submodules.array = array = self._array
        m.submodules.writer = writer = ResultWriter(cfg)
        row = sequencer.row
        wiring.connect(m, wiring.flipped(self.port.start), sequencer.start)
        wiring.connect(m, wiring.flipped(self.port.error), sequencer.error)
        m.d.comb += [
            self.array.en.eq(row.valid | row.residual),
            self.array.word.eq(row.act_word),
            self.array_row.eq(row.valid),
            self.wait.eq(sequencer.wait),
        ]
        for block, write in ((weights, self.weights), (parameters, self.parameters)):
            m.d.comb += [
                block.write_en.eq(write.valid),
                block.write_address.eq(write.address),
                block.write_mask.eq(write.mask),
                block.write_data.eq(write.data),
                write.ready.eq(1),
            ]
        wiring.connect(m, wiring.flipped(self.tables), tables.write)
        m.d.comb += [
            self.table_write_en.eq(tables.write_en),
            self.table_write_address.eq(tables.write_address),
            self.table_write_data.eq(tables.write_data),
        ]

        # Rows and weights meet at the array, both Scratchpad.LATENCY cycles after the decision.
        reach = Scratchpad.LATENCY
        early = reach - WeightBuffer.LATENCY
        shift = delay(m, sequencer.weight_en, reach - 1, name="shift", reset=True)
        copy = delay(m, sequencer.copy, reach - 1, name="copy", reset=True)
        m.d.comb += [
            array.act.as_value().eq(self.array.data),
            array.swap.eq(delay(m, row.swap, reach, name="swap", reset=True)),
            weights.read_en.eq(delay(m, sequencer.weight_en, early, name="weight_en", reset=True)),
            weights.read_address.eq(
                delay(m, sequencer.weight_address, early, name="weight_address")
            ),
            array.weight.as_value().eq(weights.read_data),
            array.shift.eq(Cat(repeated(m, shift, len(array.shift), name="shift_region"))),
            array.copy.eq(Cat(repeated(m, copy, len(array.copy), name="copy_region"))),
        ]

        # Parameters: pair p's entry arrives one cycle before pair p's first sum.
        lead = self.PSUM - 1 - ParameterMemory.LATENCY
        begin = delay(m, row.parameters, lead, name="parameters", reset=True)
        base = delay(m, row.parameter_address, lead, name="parameter_address")
        pairs = cfg.cols // 2
        next_pair = Signal(range(pairs))
        next_address = Signal.like(base, reset_less=True)
        reading = begin | (next_pair != 0)
        m.d.comb += [
            parameters.read_en.eq(reading),
            parameters.read_address.eq(Mux(begin, base, next_address)),
        ]
        with m.If(reading):
            m.d.sync += [
                next_pair.eq(Mux(begin, 1, next_pair + 1)),
                next_address.eq(parameters.read_address + 1),
            ]
        entry_en = delay(m, begin, ParameterMemory.LATENCY, name="entry_en", reset=True)
        entry = Signal(parameters.read_data.shape())
        m.d.comb += entry.eq(parameters.read_data)

        # Lanes: control reaches pair p p cycles after pair 0.
        ahead = self.PSUM - 2
        control = Signal(AccumulatorControl(cfg))
        valid = delay(m, Cat(row.valid, row.valid & row.last), ahead, name="row", reset=True)
        fields = delay(m, Cat(row.first, row.last, row.acc_address), ahead, name="row_fields")
        m.d.comb += [control.valid.eq(valid[0]), Cat(
            control.first, control.last, control.address).eq(fields)]
        mode = sequencer.mode
        # Residuals go round the array: line n comes n + 1 cycles behind its row, and pair p takes
        # its two bytes p cycles later than pair 0.
        residual_en = delay(m, valid[1] & mode.residual, 1, name="residual_en", reset=True)
        around = self._array.LATENCY - 2
        for p in range(pairs):
            n, at = divmod(16 * p, 8 * cfg.line_bytes)
            residual = delay(
                m, self.array.data[at : at + 16], around + p - n, name=f"residual{p}"
            )
            lane = LanePair(cfg, self.target)
            m.submodules[f"lane{p}"] = lane
            m.d.comb += [
                lane.control.eq(control),
                lane.psum[0].eq(array.psum[2 * p]),
                lane.psum[1].eq(array.psum[2 * p + 1]),
                lane.entry_en.eq(entry_en),
                lane.entry.eq(entry),
                lane.residual.as_value().eq(residual),
                lane.residual_en.eq(residual_en),
                lane.mode.eq(mode),
                lane.table_write_en.eq(tables.write_en),
                lane.table_write_address.eq(tables.write_address),
                lane.table_write_data.eq(tables.write_data),
                writer.lanes[2 * p].eq(lane.result[0]),
                writer.lanes[2 * p + 1].eq(lane.result[1]),
            ]
            following = Signal(AccumulatorControl(cfg), name=f"control{p}")
            following_entry, following_residual = (
                Signal(name=f"{what}_en{p}") for what in ("entry", "residual")
            )
            m.d.sync += [
                following.eq(control),
                following_entry.eq(entry_en),
                following_residual.eq(residual_en),
            ]
            control, entry_en, residual_en = following, following_entry, following_residual

        # Results: raw rows leave the lanes earlier.
        raw_delay = 2 + LanePair.RAW_LATENCY
        rest = LanePair.LATENCY - LanePair.RAW_LATENCY
        line = delay(m, row.result_line, ahead + raw_delay, name="result_line")
        emit = delay(m, valid[1], raw_delay, name="emit", reset=True)
        m.d.comb += [
            writer.result_type.eq(sequencer.result_type),
            writer.control.valid.eq(
                Mux(mode.raw, emit, delay(m, emit, rest, name="late_emit", reset=True))
            ),
            writer.control.line.eq(Mux(mode.raw, line, delay(m, line, rest, name="late_line"))),
            self.result.eq(writer.write),
        ]

        # Retirement: posts wait in a ring while the last row runs through the pipeline.
        depth = 32
        m.submodules.posts = ring = memory.Memory(shape=unsigned(POST_BITS), depth=depth, init=[])
        put, get = ring.write_port(), ring.read_port(domain="comb")
        head, tail = Signal(range(depth)), Signal(range(depth))
        fetch = delay(m, row.final, self.LATENCY - 2, name="final", reset=True)
        early = delay(m, fetch, 1, name="early", reset=True)
        done = delay(m, early, 1, name="done", reset=True)
        early_posts = Signal(POST_BITS, reset_less=True)
        m.d.comb += [
            put.en.eq(row.final), put.addr.eq(head), put.data.eq(sequencer.posts),
            get.addr.eq(tail),
            self.port.retire.valid.eq(early | sequencer.setup_done),
            self.port.retire.posts.eq(Mux(early, early_posts, sequencer.setup_posts)),
        ]
        m.d.sync += [
            head.eq(head + row.final), tail.eq(tail + fetch), early_posts.eq(get.data),
        ]
        in_flight = Signal(range(depth + 4))
        m.d.sync += in_flight.eq(in_flight + sequencer.accepted - done)
        m.d.comb += sequencer.idle.eq(in_flight == 0)
        return m


