"""Turns MATMUL and SETUP into rows, weight words and copies, one decision per cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, POST_BITS, ErrorPort, StartLayout, field, vector
from ..isa import LOOP_LEVELS, ErrorCode, Opcode, ResultType
from ..memory.parameters import PAIR_BYTES
from ..memory.scratchpad import line_bits
from .lane import ModeLayout
from .nest import AddressGenerator, LoopNest

__all__ = ["RowLayout", "Sequencer"]

MATMUL, SETUP = Opcode.MATMUL, Opcode.SETUP


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


class Sequencer(wiring.Component):
    """The front of the compute unit.

    Two loop nests follow each MATMUL: the weight nest fetches tiles, one ahead of the row nest, and
    runs on into the next instruction, of which one is held ready; the row nest issues rows. They
    meet in `copy`: a complete chain moves to A1 when A1's tile has begun, R/L - 1 cycles ago or
    more. All
    decisions are taken here with equal delays behind, so the rules of ``array.Array`` hold there.

    Members
    -------
    start : In(stream.Signature(StartLayout))
        MATMUL and SETUP; a SETUP waits until `idle`.
    idle : In(1)
        No MATMUL is in flight.
    row : Out(RowLayout)
    weight_en : Out(1), weight_address : Out
        Read a weight word; its data shift into the array.
    copy : Out(1)
    mode : Out(ModeLayout), result_type : Out(2)
        The SETUP in force.
    accepted : Out(1)
        A MATMUL was taken from `start` (pulse). `setup_done` with `setup_posts`: a SETUP took
        effect.
    posts : Out(POST_BITS)
        Posts of the instruction that `row.final` ends, in the same cycle.
    wait : Out(1)
        A row waited for its tile, for its parameters, or for result pacing.
    error : Out(ErrorPort())
        ADDRESS, a few cycles after the offending access.

    Latency
    -------
    3 cycles from `start` to the first weight word, R/L + 1 more to the first row of a tile whose
    weights were not fetched ahead. Tiles follow each other every max(M, R/L) cycles.
    """

    #: `start` to the first weight word; last word of a tile to its first row.
    WEIGHT_LATENCY = 3
    ROW_LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(stream.Signature(StartLayout)),
                "idle": In(1),
                "row": Out(RowLayout(config)),
                "weight_en": Out(1),
                "weight_address": Out(range(config.weight_words)),
                "copy": Out(1),
                "mode": Out(ModeLayout),
                "result_type": Out(2),
                "accepted": Out(1),
                "setup_done": Out(1),
                "setup_posts": Out(POST_BITS),
                "posts": Out(POST_BITS),
                "wait": Out(1),
                "error": Out(ErrorPort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        h = cfg.tile_words
        line_shift = (cfg.line_bytes // 4 - 1).bit_length()

        # -- instructions: one held ready (`held`), one in each nest ------------------------------
        held = Signal(StartLayout, reset_less=True)
        held_for_weights, held_for_rows = Signal(), Signal()
        word = self.start.payload.word
        is_setup = word[:8] == SETUP
        free = ~held_for_weights & ~held_for_rows
        take_setup = self.start.valid & is_setup & self.idle & free
        take_matmul = self.start.valid & ~is_setup & free
        m.d.comb += [self.start.ready.eq(free & (~is_setup | self.idle)),
                     self.accepted.eq(take_matmul)]
        with m.If(take_matmul):
            m.d.sync += [held.eq(self.start.payload), held_for_weights.eq(1), held_for_rows.eq(1)]

        def posts_of(bits: Signal) -> object:
            low = field(bits, MATMUL, "post0_enable")
            return Cat(low, *(field(bits, MATMUL, n) for n in ("post0", "post1_enable", "post1")))

        # -- SETUP --------------------------------------------------------------------------------
        setup_jumps = Signal(data.ArrayLayout(signed(20), LOOP_LEVELS))
        parameter_jumps = Signal(data.ArrayLayout(signed(13), LOOP_LEVELS))
        m.d.sync += [self.setup_done.eq(take_setup), self.setup_posts.eq(posts_of(word))]
        with m.If(take_setup):
            mode = self.mode
            m.d.sync += [
                self.result_type.eq(field(word, SETUP, "result_type")),
                mode.raw.eq(field(word, SETUP, "result_type") == ResultType.INT32),
                mode.table_enable.eq(field(word, SETUP, "table_enable")),
                mode.table.eq(field(word, SETUP, "table")),
                mode.setup.pre.eq(field(word, SETUP, "pre")),
                mode.setup.zero_point.eq(field(word, SETUP, "zero_point")),
                mode.setup.low.eq(field(word, SETUP, "low")),
                mode.setup.high.eq(field(word, SETUP, "high")),
            ]
            for i, jump in enumerate(vector(word, SETUP, "result_jump")):
                m.d.sync += setup_jumps[i].eq(jump)
            for i, jump in enumerate(vector(word, SETUP, "parameter_jump")):
                m.d.sync += parameter_jumps[i].eq(0 if jump is None else jump)

        def jumps_of(name: str, width: int) -> Signal:
            values = Signal(
                data.ArrayLayout(signed(width), LOOP_LEVELS), name=name, reset_less=True
            )
            return values

        levels = field(held.word, MATMUL, "tile_levels")
        held_mask = Cat(levels > i for i in range(LOOP_LEVELS))  # levels inside the tile
        counts = vector(held.word, MATMUL, "count")

        # -- the weight nest ----------------------------------------------------------------------
        m.submodules.weight_nest = weight_nest = LoopNest()
        m.submodules.weight_base = weight_base = AddressGenerator(
            14, 15, tuple(range(1, LOOP_LEVELS))
        )
        weight_active = Signal()
        weight_index = Signal(INDEX_BITS, reset_less=True)
        weight_jumps = jumps_of("weight_jumps", 15)
        in_tile = Signal(range(h))  # word of the tile
        chain = Signal(range(h + 1))  # words of the tile that is in the chain
        a1_valid = Signal()
        since = Signal(range(h), init=h - 1)  # cycles since a tile began, up to h - 1
        # `chain == h`, `~a1_valid & (since == h - 1)` and `in_tile == h - 1`, as registers: whether
        # to shift, and whether a tile ends with it, decides a lot.
        full, a1_free, at_end = Signal(), Signal(init=1), Signal(init=h == 1)
        copy = full & a1_free
        shift = weight_active & (~full | a1_free)
        tile_done = shift & at_end
        weight_load = held_for_weights & (~weight_active | (tile_done & weight_nest.last))
        m.d.comb += [
            weight_nest.load.eq(weight_load),
            weight_nest.step.eq(tile_done),
            weight_base.load.eq(weight_load),
            weight_base.base.eq(field(held.word, MATMUL, "weight_address")),
            weight_base.step.eq(tile_done),
            weight_base.level.eq(weight_nest.level),
            weight_base.jumps.eq(weight_jumps),
        ]
        for i in range(LOOP_LEVELS):
            m.d.comb += weight_nest.counts[i].eq(Mux(held_mask[i], 1, counts[i]))
        with m.If(shift):
            # h is a power of two.
            m.d.sync += [in_tile.eq(in_tile + 1), at_end.eq(in_tile == (h - 2) % h)]
        with m.If(copy):
            m.d.sync += [chain.eq(shift), full.eq(shift if h == 1 else 0)]
        with m.Elif(shift):
            m.d.sync += [chain.eq(chain + 1), full.eq(chain == h - 1)]
        with m.If(weight_load):
            m.d.sync += [weight_active.eq(1), held_for_weights.eq(0), weight_index.eq(held.index)]
            for i, jump in enumerate(vector(held.word, MATMUL, "weight_jump")):
                if jump is not None:
                    m.d.sync += weight_jumps[i].eq(jump)
        with m.Elif(tile_done & weight_nest.last):
            m.d.sync += weight_active.eq(0)
        weight_address = Signal(15, reset_less=True)
        m.d.sync += [
            self.weight_en.eq(shift),
            weight_address.eq(weight_base.address + in_tile),
            self.copy.eq(copy),
        ]
        m.d.comb += self.weight_address.eq(weight_address)

        # -- the row nest -------------------------------------------------------------------------
        m.submodules.row_nest = row_nest = LoopNest()
        active, index = Signal(), Signal(INDEX_BITS, reset_less=True)
        posts = Signal(POST_BITS, reset_less=True)
        mask = Signal(LOOP_LEVELS, reset_less=True)
        reduction = Signal(LOOP_LEVELS, reset_less=True)
        from_bias, emits = Signal(reset_less=True), Signal(reset_less=True)
        go, row_load = Signal(), Signal()
        m.d.comb += [
            row_load.eq(held_for_rows & (~active | (go & row_nest.last))),
            row_nest.load.eq(row_load),
            row_nest.step.eq(go),
        ]
        for i in range(LOOP_LEVELS):
            m.d.comb += row_nest.counts[i].eq(counts[i])

        def generator(name: str, width: int, jump_width: int, base: str, jumps: object) -> Signal:
            unit = AddressGenerator(width, jump_width, tuple(range(LOOP_LEVELS)))
            m.submodules[name] = unit
            step = go
            if name == "parameter":
                step = go & ~mask.bit_select(row_nest.level, 1)
            m.d.comb += [
                unit.load.eq(row_load),
                unit.base.eq(field(held.word, MATMUL, base)),
                unit.step.eq(step),
                unit.level.eq(row_nest.level),
                unit.jumps.eq(jumps),
            ]
            return unit.address

        act_jumps, acc_jumps = jumps_of("act_jumps", 20), jumps_of("acc_jumps", 13)
        act = generator("act", 20, 20, "act_address", act_jumps)
        acc = generator("acc", 12, 13, "acc_address", acc_jumps)
        result = generator("result", 20, 20, "result_address", setup_jumps)
        parameter = generator("parameter", 12, 13, "parameter_address", parameter_jumps)
        with m.If(row_load):
            m.d.sync += [
                active.eq(1),
                held_for_rows.eq(0),
                index.eq(held.index),
                posts.eq(posts_of(held.word)),
                mask.eq(held_mask),
                reduction.eq(field(held.word, MATMUL, "reduction")),
                from_bias.eq(field(held.word, MATMUL, "first")),
                emits.eq(field(held.word, MATMUL, "last")),
            ]
            for jumps, name in ((act_jumps, "act_jump"), (acc_jumps, "acc_jump")):
                for i, jump in enumerate(vector(held.word, MATMUL, name)):
                    m.d.sync += jumps[i].eq(jump)
        with m.Elif(go & row_nest.last):
            m.d.sync += active.eq(0)

        tile_start = (row_nest.start | ~mask).all()
        first = from_bias & (row_nest.start | ~reduction).all()
        last = emits & (row_nest.end | ~reduction).all()
        takes_parameters = tile_start & (first | last)
        parameter_timer = Signal(range(cfg.cols // 2))
        pace = Signal(range(8))
        m.d.comb += [
            go.eq(
                active
                & (~tile_start | a1_valid)
                & (~takes_parameters | (parameter_timer == 0))
                & (~last | (pace == 0))
            ),
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

        # -- where the nests meet -----------------------------------------------------------------
        with m.If(go & tile_start):
            m.d.sync += [a1_valid.eq(0), since.eq(1 if h > 1 else 0), a1_free.eq(h <= 2)]
        with m.Else():
            with m.If(since != h - 1):
                m.d.sync += since.eq(since + 1)
            m.d.sync += a1_free.eq(~a1_valid & ((since == h - 1) | (since == h - 2)))
            with m.If(copy):
                m.d.sync += [a1_valid.eq(1), a1_free.eq(0)]

        # -- what leaves, registered --------------------------------------------------------------
        row = self.row
        m.d.sync += [
            row.valid.eq(go),
            row.swap.eq(go & tile_start),
            row.first.eq(first),
            row.last.eq(last),
            row.parameters.eq(go & takes_parameters),
            row.final.eq(go & row_nest.last),
            row.act_line.eq(act >> line_shift),
            row.acc_address.eq(acc),
            row.result_line.eq(result >> line_shift),
            row.parameter_address.eq(parameter),
            self.posts.eq(posts),
        ]

        # -- bounds, a cycle later so that no comparison stands in the way of an issue ------------
        lines = cfg.scratchpad_bytes // cfg.line_bytes
        result_lines = Signal(range(9))
        with m.Switch(self.result_type):
            for t in ResultType:
                with m.Case(t):
                    m.d.comb += result_lines.eq(t.bytes * cfg.cols // cfg.rows)
        wide_acc, wide_parameter = Signal(12, reset_less=True), Signal(12, reset_less=True)
        row_index = Signal(INDEX_BITS, reset_less=True)
        weight_row_index = Signal(INDEX_BITS, reset_less=True)
        m.d.sync += [
            wide_acc.eq(acc), wide_parameter.eq(parameter), row_index.eq(index),
            weight_row_index.eq(weight_index),
        ]
        pairs = cfg.parameter_bytes // PAIR_BYTES
        bad_row = row.valid & (
            (row.act_line >= lines)
            | (row.last & (row.result_line + result_lines > lines))
            | (~(row.first & row.last) & (wide_acc >= cfg.accumulator_rows))
            | (row.parameters & (wide_parameter + cfg.cols // 2 > pairs))
        )
        bad_weight = self.weight_en & (weight_address >= cfg.weight_words)
        m.d.sync += [
            self.error.valid.eq(bad_row | bad_weight),
            self.error.code.eq(ErrorCode.ADDRESS),
            self.error.index.eq(Mux(bad_row, row_index, weight_row_index)),
        ]
        return m


