"""What the depthwise engine does, cycle by cycle: reads of lines, multiplications, results."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..compute.nest import AddressGenerator, LoopNest
from ..config import AcceleratorConfig
from ..dma.flow import Skid
from ..interface import StartLayout, field, vector
from ..isa import LAYOUTS, LOOP_LEVELS, SUBSTEPS, TAP_PARAMETERS, Opcode
from ..memory.scratchpad import WORD_BITS, line_bits
from ..repeat import MAX_ENABLES, repeated

__all__ = ["SlotLayout", "Slots"]

DEPTHWISE = Opcode.DEPTHWISE
#: Levels that move a window along a row, and those that change its taps.
ROW, BLOCK = 2, 4
TAP_BITS = LAYOUTS[DEPTHWISE]["tap_address"].width
#: Empty slots between the last result of a block and the parameters of the next, which it must not
#: see.
GAP = 4


class SlotLayout(data.StructLayout):
    """One cycle of the engine.

    read : of `line`; parameters : of word `which` of a block's; neither: nothing, for a cycle.
    fire : the line is multiplied with word `tap`; first : with the bias; emit : the sums are a
    result, for line `result`; final : the last one of its instruction.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "read": 1,
                "parameters": 1,
                "which": range(TAP_PARAMETERS),
                "fire": 1,
                "first": 1,
                "emit": 1,
                "final": 1,
                "line": unsigned(line_bits(config)),
                "tap": unsigned(TAP_BITS),
                "result": unsigned(line_bits(config)),
            }
        )


class Slots(wiring.Component):
    """Follows the nest of each DEPTHWISE; one instruction at a time.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    start : In(stream.Signature(StartLayout))
        DEPTHWISE; taken when `idle` says that the one before it is complete.
    idle : In(1)
        Nothing is in flight.
    credit : In(1)
        There is room for a result, and for one more.
    held : Out(StartLayout)
        The instruction; steady while it is in flight.
    load : Out(1)
        `held` is new (pulse), some cycles before its first slot.
    slot : Out(stream.Signature(SlotLayout(config)))
    issued : Out(1)
        A slot with a result goes.

    Latency
    -------
    ``LATENCY`` cycles from `start` to the first slot, that of parameters; one slot a cycle, but for
    GAP + TAP_PARAMETERS between two blocks of taps, and one between results whose window is one
    read.
    """

    LATENCY = 3

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(stream.Signature(StartLayout)),
                "idle": In(1),
                "credit": In(1),
                "held": Out(StartLayout),
                "load": Out(1),
                "slot": Out(stream.Signature(SlotLayout(config))),
                "issued": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        held = Signal(StartLayout, reset_less=True)
        word = held.word
        shift = (cfg.line_bytes // 4 - 1).bit_length()
        busy, loading = Signal(), Signal()
        m.d.comb += [
            self.held.eq(held),
            self.load.eq(loading),
        ]
        # While it is open it takes what is offered, whether that is valid or not.
        size = len(held.as_value())
        parts = -(-size // MAX_ENABLES)
        taken = Signal()
        opens = ~busy & ~loading & self.idle & ~taken
        is_open = repeated(m, opens, parts, name="is_open", init=0)
        # One more for control: what is a port is no copy of its own.
        ready = Signal()
        m.d.comb += [self.start.ready.eq(ready), taken.eq(self.start.valid & ready)]
        m.d.sync += [ready.eq(opens), loading.eq(taken)]
        for i, part in enumerate(is_open):
            here = slice(size * i // parts, size * (i + 1) // parts)
            with m.If(part):
                m.d.sync += held.as_value()[here].eq(self.start.payload.as_value()[here])

        m.submodules.nest = nest = LoopNest()
        every = tuple(range(LOOP_LEVELS))
        generators = {}
        for name, bits, jump_bits, levels in (
            ("act", WORD_BITS, WORD_BITS, every),
            ("result", WORD_BITS, WORD_BITS, every[ROW:]),
            ("tap", TAP_BITS, TAP_BITS + 1, every[BLOCK:]),
        ):
            made = AddressGenerator(bits, jump_bits, levels)
            m.submodules[name] = generators[name] = made
            m.d.comb += [
                made.load.eq(loading),
                made.base.eq(field(word, DEPTHWISE, f"{name}_address")),
                made.level.eq(nest.level),
                made.jumps.as_value().eq(_jumps(word, f"{name}_jump", jump_bits)),
            ]
        act, result, tap = generators.values()

        # Where the nest is, as far as a slot depends on it.
        skip = field(word, DEPTHWISE, "skip")
        substep = Signal(SUBSTEPS, init=1)
        skipped = Signal(4, reset_less=True)  # positions that are still to be skipped
        keeps = Signal(reset_less=True)  # none are
        fresh = Signal(reset_less=True)  # nothing was multiplied for this result yet
        phase = Signal(TAP_BITS, reset_less=True)  # word of its block
        is_last_read = nest.end[:ROW].all()
        fires = keeps & (substep & field(word, DEPTHWISE, "fire")).any()
        emits = keeps & is_last_read

        # Parameters of a block come before its first line, and behind the last result's use of the
        # ones before.
        pending, gap = Signal(), Signal(range(GAP + 1))
        which = Signal(range(TAP_PARAMETERS))
        # A result takes two cycles of the lanes; so the one behind it is no result.
        paced = Signal()

        layout = SlotLayout(cfg)
        # Whether a bank is taken is known late: the nest looks at registers only.
        m.submodules.skid = skid = Skid(layout)
        wiring.connect(m, skid.o, wiring.flipped(self.slot))
        slot = skid.i.payload
        offered, free = skid.i.valid, skid.i.ready
        waits = Mux(pending, gap != 0, emits & paced)
        go_parameters = busy & pending & (gap == 0) & free
        go = busy & ~pending & free & ~(emits & (paced | ~self.credit))
        m.d.comb += [
            offered.eq(busy & (waits | pending | ~emits | self.credit)),
            nest.load.eq(loading),
            nest.begin.eq(loading),
            nest.counts.as_value().eq(
                Cat(field(word, DEPTHWISE, f"count{i}") for i in range(LOOP_LEVELS))
            ),
            nest.step.eq(go),
            act.step.eq(go),
            tap.step.eq(go),
            result.step.eq(go & ((nest.level > ROW) | keeps)),
            self.issued.eq(go & emits),
        ]
        with m.If(loading):
            m.d.sync += [busy.eq(1), pending.eq(1), gap.eq(0)]
        with m.Elif(pending & (gap != 0) & free):
            m.d.sync += gap.eq(gap - 1)
        with m.If(go_parameters):
            m.d.sync += which.eq(which + 1)
            with m.If(which == TAP_PARAMETERS - 1):
                m.d.sync += [which.eq(0), pending.eq(0)]
        with m.If(offered & free):
            m.d.sync += paced.eq(go & emits)
        with m.If(go):
            m.d.sync += [
                substep.eq(Mux(nest.end[0], 1, substep << 1)),
                fresh.eq(Mux(is_last_read, 1, fresh & ~fires)),
                phase.eq(Mux(is_last_read, TAP_PARAMETERS, phase + fires)),
            ]
            with m.If(is_last_read):
                with m.If(nest.end[ROW]):
                    m.d.sync += [skipped.eq(skip), keeps.eq(skip == 0)]
                with m.Elif(~keeps):
                    m.d.sync += [skipped.eq(skipped - 1), keeps.eq(skipped == 1)]
            with m.If(nest.last):
                m.d.sync += busy.eq(0)
            with m.Elif(nest.end[:BLOCK].all()):
                m.d.sync += [pending.eq(1), gap.eq(GAP)]
        with m.If(loading):
            m.d.sync += [
                substep.eq(1),
                fresh.eq(1),
                phase.eq(TAP_PARAMETERS),
                skipped.eq(skip),
                keeps.eq(skip == 0),
            ]

        reads = ~pending & ~waits
        m.d.comb += [
            slot.read.eq(reads),
            slot.parameters.eq(pending & ~waits),
            slot.which.eq(which),
            slot.fire.eq(fires & reads),
            slot.first.eq(fresh),
            slot.emit.eq(emits & reads),
            slot.final.eq(nest.last & reads),
            slot.line.eq(act.address[shift:]),
            slot.tap.eq(tap.address + Mux(pending, which, phase)),
            slot.result.eq(result.address[shift:]),
        ]
        return m


def _jumps(word: Value, name: str, width: int) -> Value:
    """All jumps `name`; one that it has not is zero."""
    return Cat(
        Const(0, width) if jump is None else jump[:width] for jump in vector(word, DEPTHWISE, name)
    )
