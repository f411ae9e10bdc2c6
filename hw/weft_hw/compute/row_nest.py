"""The row nest: the rows that enter the array, and what becomes of each."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, POST_BITS, StartLayout, field, vector
from ..isa import LOOP_LEVELS, Opcode, ResultType
from ..memory.parameters import PAIR_BYTES
from ..memory.scratchpad import line_bits
from .hold import posts_of
from .nest import AddressGenerator, LoopNest

__all__ = ["ADDRESS_BITS", "RowLayout", "RowNest"]

MATMUL = Opcode.MATMUL
#: Bits of accumulator and parameter addresses, past the end of the memory, too.
ADDRESS_BITS = 12


class RowLayout(data.StructLayout):
    """One row on its way into the array, and what will become of it."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "valid": 1,
                "swap": 1,  # first row of a tile
                "first": 1,  # starts from the bias
                "last": 1,  # leaves as a result
                "parameters": 1,  # the tile takes new parameters
                "final": 1,  # last row of its instruction
                "act_line": unsigned(line_bits(config)),
                "acc_address": unsigned((config.accumulator_rows - 1).bit_length()),
                "result_line": unsigned(line_bits(config)),
                "parameter_address": unsigned(
                    (config.parameter_bytes // PAIR_BYTES - 1).bit_length()
                ),
            }
        )


class RowNest(wiring.Component):
    """Follows all loops of each MATMUL; a row goes when its tile, its parameters and the result
    writer are ready.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    held : In(StartLayout)
        The MATMUL held ready.
    tile_mask : In(LOOP_LEVELS)
        Its levels inside a tile.
    valid : In(1)
        It has not been taken yet.
    taken : Out(1)
        It is taken in this cycle.
    result_type : In(2)
        Of the SETUP in force, as the jumps.
    result_jumps : In(ArrayLayout(signed(20), LOOP_LEVELS))
        Words of a result address.
    parameter_jumps : In(ArrayLayout(signed(13), LOOP_LEVELS))
        Pairs of a parameter address.
    tile_ready : In(1)
        The tile is in A1.
    tile_start : Out(1)
        A tile begins in this cycle.
    row : Out(RowLayout)
        What enters the array.
    posts : Out(POST_BITS)
        Posts of the instruction that `row.final` ends, in the same cycle.
    acc_address, parameter_address : Out(ADDRESS_BITS)
        Those of `row`; they may lie past the end.
    index : Out(INDEX_BITS)
        The instruction that `row` belongs to.
    wait : Out(1)
        A row waited for its tile, for its parameters, or for result pacing.

    Latency
    -------
    2 cycles from `valid`, or from `tile_ready`, to `row`; one row a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "held": In(StartLayout),
                "tile_mask": In(LOOP_LEVELS),
                "valid": In(1),
                "taken": Out(1),
                "result_type": In(2),
                "result_jumps": In(data.ArrayLayout(signed(20), LOOP_LEVELS)),
                "parameter_jumps": In(data.ArrayLayout(signed(13), LOOP_LEVELS)),
                "tile_ready": In(1),
                "tile_start": Out(1),
                "row": Out(RowLayout(config)),
                "posts": Out(POST_BITS),
                "acc_address": Out(ADDRESS_BITS),
                "parameter_address": Out(ADDRESS_BITS),
                "index": Out(INDEX_BITS),
                "wait": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg, word = self._config, self.held.word
        line_shift = (cfg.line_bytes // 4 - 1).bit_length()
        m.submodules.nest = nest = LoopNest()
        active, index = Signal(), Signal(INDEX_BITS, reset_less=True)
        posts = Signal(POST_BITS, reset_less=True)
        mask = Signal(LOOP_LEVELS, reset_less=True)
        reduction = Signal(LOOP_LEVELS, reset_less=True)
        from_bias, emits = Signal(reset_less=True), Signal(reset_less=True)
        act_jumps = Signal(data.ArrayLayout(signed(20), LOOP_LEVELS), reset_less=True)
        acc_jumps = Signal(data.ArrayLayout(signed(13), LOOP_LEVELS), reset_less=True)
        go = Signal()
        m.d.comb += [
            self.taken.eq(self.valid & (~active | (go & nest.last))),
            nest.load.eq(self.taken),
            nest.step.eq(go),
        ]
        for i, count in enumerate(vector(word, MATMUL, "count")):
            m.d.comb += nest.counts[i].eq(count)

        def generator(name: str, width: int, jumps: data.View, step: Value) -> Value:
            jump_width = jumps.shape().elem_shape.width
            unit = AddressGenerator(width, jump_width, tuple(range(LOOP_LEVELS)))
            m.submodules[name] = unit
            m.d.comb += [
                unit.load.eq(self.taken),
                unit.base.eq(field(word, MATMUL, f"{name}_address")),
                unit.step.eq(step),
                unit.level.eq(nest.level),
                unit.jumps.eq(jumps),
            ]
            return unit.address

        act = generator("act", 20, act_jumps, go)
        acc = generator("acc", ADDRESS_BITS, acc_jumps, go)
        result = generator("result", 20, self.result_jumps, go)
        next_tile = go & ~mask.bit_select(nest.level, 1)
        parameter = generator("parameter", ADDRESS_BITS, self.parameter_jumps, next_tile)
        with m.If(self.taken):
            m.d.sync += [
                active.eq(1),
                index.eq(self.held.index),
                posts.eq(posts_of(word)),
                mask.eq(self.tile_mask),
                reduction.eq(field(word, MATMUL, "reduction")),
                from_bias.eq(field(word, MATMUL, "first")),
                emits.eq(field(word, MATMUL, "last")),
            ]
            for jumps, name in ((act_jumps, "act_jump"), (acc_jumps, "acc_jump")):
                for i, jump in enumerate(vector(word, MATMUL, name)):
                    m.d.sync += jumps[i].eq(jump)
        with m.Elif(go & nest.last):
            m.d.sync += active.eq(0)

        at_start = (nest.start | ~mask).all()
        first = from_bias & (nest.start | ~reduction).all()
        last = emits & (nest.end | ~reduction).all()
        takes_parameters = at_start & (first | last)
        parameter_timer = Signal(range(cfg.cols // 2))
        pace = Signal(range(8))
        m.d.comb += [
            go.eq(
                active
                & (~at_start | self.tile_ready)
                & (~takes_parameters | (parameter_timer == 0))
                & (~last | (pace == 0))
            ),
            self.tile_start.eq(go & at_start),
            self.wait.eq(active & ~go),
        ]
        with m.If(go & takes_parameters):
            m.d.sync += parameter_timer.eq(cfg.cols // 2 - 1)
        with m.Elif(parameter_timer != 0):
            m.d.sync += parameter_timer.eq(parameter_timer - 1)
        with m.If(go & last), m.Switch(self.result_type):
            for t in ResultType:
                with m.Case(t):
                    m.d.sync += pace.eq(cfg.row_cycles(t.bytes) - 1)
        with m.Elif(pace != 0):
            m.d.sync += pace.eq(pace - 1)

        # What leaves, registered.
        row = self.row
        wide_acc, wide_parameter = (Signal(ADDRESS_BITS, reset_less=True) for _ in range(2))
        index_out = Signal(INDEX_BITS, reset_less=True)
        m.d.sync += [
            row.valid.eq(go),
            row.swap.eq(self.tile_start),
            row.first.eq(first),
            row.last.eq(last),
            row.parameters.eq(go & takes_parameters),
            row.final.eq(go & nest.last),
            row.act_line.eq(act >> line_shift),
            row.acc_address.eq(acc),
            row.result_line.eq(result >> line_shift),
            row.parameter_address.eq(parameter),
            self.posts.eq(posts),
            wide_acc.eq(acc),
            wide_parameter.eq(parameter),
            index_out.eq(index),
        ]
        m.d.comb += [
            self.acc_address.eq(wide_acc),
            self.parameter_address.eq(wide_parameter),
            self.index.eq(index_out),
        ]
        return m
