"""The instruction that the compute unit holds ready, and the SETUP in force."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..interface import POST_BITS, StartLayout, field, vector
from ..isa import LOOP_LEVELS, Opcode, ResultType
from ..repeat import MAX_ENABLES, repeated
from .lane import ModeLayout

__all__ = ["InstructionHold", "posts_of"]

MATMUL, SETUP = Opcode.MATMUL, Opcode.SETUP


def posts_of(word: Value) -> Value:
    """The raw post fields of an instruction, as a :class:`.interface.Retire` has them."""
    names = ("post0_enable", "post0", "post1_enable", "post1")
    return Cat(field(word, MATMUL, name) for name in names)


class InstructionHold(wiring.Component):
    """Takes MATMULs, one ahead of the nests, and SETUPs, which it carries out.

    A MATMUL is held until both nests have taken it. A SETUP waits until `idle`, so everything that
    is in flight has the same SETUP.

    Members
    -------
    start : In(stream.Signature(StartLayout))
        MATMUL and SETUP.
    idle : In(1)
        No MATMUL is in flight.
    accepted : Out(1)
        A MATMUL was taken from `start` (pulse).
    held : Out(StartLayout)
        The MATMUL held ready.
    tile_mask : Out(LOOP_LEVELS)
        Its levels inside a tile.
    for_weights, for_rows : Out(1)
        The weight nest, or the row nest, has not taken it yet.
    weights_taken, rows_taken : In(1)
        It takes it in this cycle.
    setup_done : Out(1)
        A SETUP was taken (pulse); it is in force from the next cycle on.
    setup_posts : Out(POST_BITS)
        Its posts.
    mode : Out(ModeLayout)
        Of the SETUP in force, as `result_type` and the jumps.
    result_type : Out(2)
        ``isa.ResultType``.
    result_jumps : Out(ArrayLayout(signed(20), LOOP_LEVELS))
        Words of a result address.
    parameter_jumps : Out(ArrayLayout(signed(13), LOOP_LEVELS))
        Pairs of a parameter address.

    Latency
    -------
    1 cycle from `start` to `held`, and to `setup_done`, 2 to what a SETUP sets; one instruction per
    2 cycles.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(stream.Signature(StartLayout)),
                "idle": In(1),
                "accepted": Out(1),
                "held": Out(StartLayout),
                "tile_mask": Out(LOOP_LEVELS),
                "for_weights": Out(1),
                "for_rows": Out(1),
                "weights_taken": In(1),
                "rows_taken": In(1),
                "setup_done": Out(1),
                "setup_posts": Out(POST_BITS),
                "mode": Out(ModeLayout),
                "result_type": Out(2),
                "result_jumps": Out(data.ArrayLayout(signed(20), LOOP_LEVELS)),
                "parameter_jumps": Out(data.ArrayLayout(signed(13), LOOP_LEVELS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(StartLayout, reset_less=True)
        word = self.start.payload.word
        is_setup = word[:8] == SETUP
        # Nobody has to take what is held; `vacant` says the same where it is written. While it is
        # free it takes what is offered, whether that is valid or not.
        free = ~self.for_weights & ~self.for_rows
        stays = (self.for_weights & ~self.weights_taken) | (self.for_rows & ~self.rows_taken)
        parts = -(-len(held.as_value()) // MAX_ENABLES)
        vacant = repeated(m, ~self.accepted & ~stays, parts, name="vacant", init=1)
        take_setup = self.start.valid & is_setup & self.idle & free
        levels = field(held.word, MATMUL, "tile_levels")
        m.d.comb += [
            self.start.ready.eq(free & (~is_setup | self.idle)),
            self.accepted.eq(self.start.valid & ~is_setup & free),
            self.held.eq(held),
            self.tile_mask.eq(Cat(levels > i for i in range(LOOP_LEVELS))),
        ]
        with m.If(self.accepted):
            m.d.sync += [self.for_weights.eq(1), self.for_rows.eq(1)]
        size = -(-len(held.as_value()) // parts)
        for i, part in enumerate(vacant):
            here = slice(size * i, size * (i + 1))
            with m.If(part):
                m.d.sync += held.as_value()[here].eq(self.start.payload.as_value()[here])
        with m.If(self.weights_taken):
            m.d.sync += self.for_weights.eq(0)
        with m.If(self.rows_taken):
            m.d.sync += self.for_rows.eq(0)

        # The SETUP in force comes from `held`, which takes all that is offered. What writes it are
        # copies of registers: of `setup_done`, and of one that lasts a cycle longer than a reset.
        m.d.sync += [self.setup_done.eq(take_setup), self.setup_posts.eq(posts_of(word))]
        done = repeated(m, take_setup, 2, name="done", init=0)
        cleared = repeated(m, Const(0), 2, name="cleared", init=1)
        word = held.word
        result_type = Signal(2, reset_less=True)
        mode = Signal(ModeLayout, reset_less=True)
        result_jumps = Signal.like(self.result_jumps.as_value(), reset_less=True)
        parameter_jumps = Signal.like(self.parameter_jumps.as_value(), reset_less=True)
        m.d.comb += [
            self.result_type.eq(result_type),
            self.mode.eq(mode),
            self.result_jumps.as_value().eq(result_jumps),
            self.parameter_jumps.as_value().eq(parameter_jumps),
        ]
        with m.If(cleared[0]):
            m.d.sync += [result_type.eq(0), mode.as_value().eq(0), parameter_jumps.eq(0)]
        with m.Elif(done[0]):
            m.d.sync += [
                result_type.eq(field(word, SETUP, "result_type")),
                mode.raw.eq(field(word, SETUP, "result_type") == ResultType.INT32),
                mode.table_enable.eq(field(word, SETUP, "table_enable")),
                mode.table.eq(field(word, SETUP, "table")),
                mode.setup.pre.eq(field(word, SETUP, "pre")),
                mode.setup.zero_point.eq(field(word, SETUP, "zero_point")),
                mode.setup.low.eq(field(word, SETUP, "low")),
                mode.setup.high.eq(field(word, SETUP, "high")),
                mode.setup.residual_multiplier.eq(field(word, SETUP, "residual_multiplier")),
                mode.residual.eq(field(word, SETUP, "residual")),
                mode.residual_zero_point.eq(field(word, SETUP, "residual_zero_point")),
                mode.maximum.eq(field(word, SETUP, "maximum")),
                parameter_jumps.eq(_jumps(word, "parameter_jump", 13)),
            ]
        with m.If(cleared[1]):
            m.d.sync += result_jumps.eq(0)
        with m.Elif(done[1]):
            m.d.sync += result_jumps.eq(_jumps(word, "result_jump", 20))
        return m


def _jumps(word: Value, name: str, width: int) -> Value:
    """All jumps `name` of a SETUP; one that it has not is zero."""
    return Cat(
        Const(0, width) if jump is None else jump[:width] for jump in vector(word, SETUP, name)
    )
