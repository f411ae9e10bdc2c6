"""The row nest: the rows that enter the array, and what becomes of each."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, POST_BITS, StartLayout, field, vector
from ..isa import LOOP_LEVELS, Opcode, ResultType
from ..memory.parameters import PAIR_BYTES
from ..memory.scratchpad import WORD_BITS, line_bits
from ..repeat import repeated
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
                "residual": 1,  # no row: `act_word` is that of a line of the last row's residual
                "act_word": unsigned(WORD_BITS),
                "acc_address": unsigned((config.accumulator_rows - 1).bit_length()),
                "result_line": unsigned(line_bits(config)),
                "parameter_address": unsigned(
                    (config.parameter_bytes // PAIR_BYTES - 1).bit_length()
                ),
            }
        )


def _step_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A row that waits to be issued: what it needs, and what it will be."""
    return data.StructLayout(
        {
            "at_start": 1,
            "first": 1,
            "last": 1,
            "takes_parameters": 1,
            "final": 1,
            "act_word": unsigned(WORD_BITS),
            "acc": unsigned(ADDRESS_BITS),
            "result_line": unsigned(line_bits(config)),
            "parameter": unsigned(ADDRESS_BITS),
            "posts": unsigned(POST_BITS),
            "index": unsigned(INDEX_BITS),
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
    residual : In(1)
        Residuals are read behind each row that leaves, from where its result will stand.
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
        A row waited for its tile, for its parameters, for result pacing, or for a residual.

    Latency
    -------
    3 cycles from `valid` to `row`, 2 from `tile_ready`; one row a cycle.
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
                "residual": In(1),
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
        index = Signal(INDEX_BITS, reset_less=True)
        posts = Signal(POST_BITS, reset_less=True)
        mask = Signal(LOOP_LEVELS, reset_less=True)
        reduction = Signal(LOOP_LEVELS, reset_less=True)
        from_bias, emits = Signal(reset_less=True), Signal(reset_less=True)
        act_jumps = Signal(data.ArrayLayout(signed(20), LOOP_LEVELS), reset_less=True)
        acc_jumps = Signal(data.ArrayLayout(signed(13), LOOP_LEVELS), reset_less=True)
        # The nest is ahead of the decision by up to two rows, so that what a row needs is known
        # from registers, and the decision does not reach the nest.
        layout = _step_layout(cfg)
        head, behind = (Signal(layout, reset_less=True) for _ in range(2))
        has_head, has_behind = Signal(), Signal()
        step, ends, stays, go = (Signal() for _ in range(4))
        # `taken` for what is only held, from copies of `active`.
        nest_active, *others = repeated(m, stays, 3, name="active", init=0)
        taken = [self.valid & (~copy | (~has_behind & nest.last)) for copy in others]
        m.d.comb += [
            step.eq(nest_active & ~has_behind),
            ends.eq(step & nest.last),
            stays.eq(self.taken | (nest_active & ~ends)),
            self.taken.eq(self.valid & (~nest_active | ends)),
            nest.load.eq(self.taken),
            nest.begin.eq(self.valid & ~nest_active),
            nest.step.eq(step),
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

        following = Signal(layout)
        at_start = (nest.start | ~mask).all()
        first = from_bias & (nest.start | ~reduction).all()
        last = emits & (nest.end | ~reduction).all()
        next_tile = step & ~mask.bit_select(nest.level, 1)
        m.d.comb += [
            following.at_start.eq(at_start),
            following.first.eq(first),
            following.last.eq(last),
            following.takes_parameters.eq(at_start & (first | last)),
            following.final.eq(nest.last),
            following.act_word.eq(generator("act", WORD_BITS, act_jumps, step)),
            following.acc.eq(generator("acc", ADDRESS_BITS, acc_jumps, step)),
            following.result_line.eq(
                generator("result", WORD_BITS, self.result_jumps, step) >> line_shift
            ),
            following.parameter.eq(
                generator("parameter", ADDRESS_BITS, self.parameter_jumps, next_tile)
            ),
            following.posts.eq(posts),
            following.index.eq(index),
        ]
        for copy, jumps, name in zip(taken, (act_jumps, acc_jumps), ("act_jump", "acc_jump")):
            with m.If(copy):
                for i, jump in enumerate(vector(word, MATMUL, name)):
                    m.d.sync += jumps[i].eq(jump)
        with m.If(taken[1]):
            m.d.sync += [
                index.eq(self.held.index),
                posts.eq(posts_of(word)),
                mask.eq(self.tile_mask),
                reduction.eq(field(word, MATMUL, "reduction")),
                from_bias.eq(field(word, MATMUL, "first")),
                emits.eq(field(word, MATMUL, "last")),
            ]

        # `parameter_timer == 0` and `pace == 0` of the next cycle are registers.
        parameter_timer, parameters_free = Signal(range(cfg.cols // 2)), Signal(init=1)
        pace, paced = Signal(range(8)), Signal(init=1)
        # Bit n: line n of a residual is read, and no row goes.
        fetch = Signal(cfg.cols // cfg.rows)
        fetch_line = Signal(line_bits(cfg), reset_less=True)
        m.d.comb += [
            go.eq(
                has_head
                & ~fetch.any()
                & (~head.at_start | self.tile_ready)
                & (~head.takes_parameters | parameters_free)
                & (~head.last | paced)
            ),
            self.tile_start.eq(go & head.at_start),
            self.wait.eq(has_head & ~go),
        ]
        with m.If(~has_head | go):
            m.d.sync += [
                has_head.eq(step | has_behind),
                head.eq(Mux(has_behind, behind, following)),
                has_behind.eq(0),
            ]
        with m.Elif(step):
            m.d.sync += [behind.eq(following), has_behind.eq(1)]
        with m.If(go & head.takes_parameters):
            m.d.sync += [parameter_timer.eq(cfg.cols // 2 - 1), parameters_free.eq(0)]
        with m.Else():
            m.d.sync += parameters_free.eq(parameter_timer <= 1)
            with m.If(~parameters_free):
                m.d.sync += parameter_timer.eq(parameter_timer - 1)
        with m.If(go & head.last), m.Switch(self.result_type):
            for t in ResultType:
                with m.Case(t):
                    rest = cfg.row_cycles(t.bytes) - 1
                    m.d.sync += [pace.eq(rest), paced.eq(rest == 0)]
        with m.Else():
            m.d.sync += paced.eq(pace <= 1)
            with m.If(~paced):
                m.d.sync += pace.eq(pace - 1)

        m.d.sync += fetch.eq(Cat(go & head.last & self.residual, fetch[:-1]))
        with m.If(go):
            m.d.sync += fetch_line.eq(head.result_line)

        # What leaves, registered.
        row = self.row
        wide_acc, wide_parameter = (Signal(ADDRESS_BITS, reset_less=True) for _ in range(2))
        index_out = Signal(INDEX_BITS, reset_less=True)
        m.d.sync += [
            row.valid.eq(go),
            row.swap.eq(self.tile_start),
            row.first.eq(head.first),
            row.last.eq(head.last),
            row.parameters.eq(go & head.takes_parameters),
            row.final.eq(go & head.final),
            row.residual.eq(fetch.any()),
            row.act_word.eq(head.act_word),
            row.acc_address.eq(head.acc),
            row.result_line.eq(head.result_line),
            row.parameter_address.eq(head.parameter),
            self.posts.eq(head.posts),
            wide_acc.eq(head.acc),
            wide_parameter.eq(head.parameter),
            index_out.eq(head.index),
        ]
        for n, bit in enumerate(fetch):  # a row of two lines starts on an even one
            with m.If(bit):
                m.d.sync += row.act_word.eq((fetch_line | n) << line_shift)
        m.d.comb += [
            self.acc_address.eq(wide_acc),
            self.parameter_address.eq(wide_parameter),
            self.index.eq(index_out),
        ]
        return m
