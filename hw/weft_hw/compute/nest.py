"""Loop nests and the addresses that follow them."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..isa import LOOP_LEVELS

__all__ = ["COUNT_BITS", "AddressGenerator", "LoopNest"]

#: Bits of a loop count, as in the instruction.
COUNT_BITS = 16


class LoopNest(wiring.Component):
    """Counter of LOOP_LEVELS nested loops, level 0 innermost.

    Members
    -------
    load : In(1)
        Begin the nest given by `counts`: all levels at their start in the next cycle.
    begin : In(1)
        With a `load` of a nest that does not step, and never without `load`. The clock enables look
        at it, because `load` comes late.
    counts : In(ArrayLayout(16, LOOP_LEVELS))
        Iterations per level, >= 1; sampled by `load`.
    step : In(1)
        Go to the next iteration. With a step from the last iteration may come a `load`, which wins.
    level : Out(3)
        The level that `step` advances; all lower levels return to their start.
    start, end : Out(LOOP_LEVELS)
        Bit i: level i is at its first, or last, iteration.
    last : Out(1)
        All levels are at their last iteration; a step from here has no meaning without a `load`.

    Latency
    -------
    1 cycle; one step a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "load": In(1),
                "begin": In(1),
                "counts": In(data.ArrayLayout(COUNT_BITS, LOOP_LEVELS)),
                "step": In(1),
                "level": Out(range(LOOP_LEVELS)),
                "start": Out(LOOP_LEVELS),
                "end": Out(LOOP_LEVELS),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.last.eq(self.end.all())
        # Priority: the lowest level that is not at its end is assigned last, and wins.
        m.d.comb += self.level.eq(LOOP_LEVELS - 1)
        for i in reversed(range(LOOP_LEVELS)):
            with m.If(~self.end[i]):
                m.d.comb += self.level.eq(i)

        # Iterations left after this one; `reload` is kept, so that counts may change after load.
        levels = range(LOOP_LEVELS)
        left = [Signal(COUNT_BITS, name=f"left{i}", reset_less=True) for i in levels]
        reload = [Signal(COUNT_BITS, name=f"reload{i}", reset_less=True) for i in levels]
        single = [Signal(name=f"single{i}", reset_less=True) for i in levels]
        for i in levels:
            below_end = self.end[:i].all() if i else 1
            count = self.counts[i]
            with m.If(self.load):
                m.d.sync += [reload[i].eq(count - 1), single[i].eq(count == 1)]
            with m.If(self.begin | (self.step & below_end)):
                m.d.sync += [
                    left[i].eq(
                        Mux(self.load, count - 1, Mux(self.end[i], reload[i], left[i] - 1))
                    ),
                    self.end[i].eq(
                        Mux(self.load, count == 1, Mux(self.end[i], single[i], left[i] == 1))
                    ),
                    self.start[i].eq(self.load | self.end[i]),
                ]
        return m


class AddressGenerator(wiring.Component):
    """Address that is affine in every level of a :class:`LoopNest`: one adder, one jump per level.

    Parameters
    ----------
    width : int
        Bits of the address; it wraps.
    jump_width : int
        Bits of a signed jump.
    levels : tuple of int
        Levels that move the address; a step of another level leaves it.

    Members
    -------
    load, base : In
        Take `base` as the next address.
    step, level : In
        Add the jump of `level`.
    jumps : In(ArrayLayout(signed(jump_width), LOOP_LEVELS))
        Held by the owner while the nest runs.
    address : Out(width)

    Latency
    -------
    1 cycle; one step a cycle.
    """

    def __init__(self, width: int, jump_width: int, levels: tuple[int, ...]) -> None:
        self.width = width
        self.levels = levels
        super().__init__(
            {
                "load": In(1),
                "base": In(width),
                "step": In(1),
                "level": In(range(LOOP_LEVELS)),
                "jumps": In(data.ArrayLayout(signed(jump_width), LOOP_LEVELS)),
                "address": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address = Signal(self.width, reset_less=True)
        jump = Signal(signed(self.width))
        with m.Switch(self.level):
            for i in self.levels:
                with m.Case(i):
                    m.d.comb += jump.eq(self.jumps[i])
        with m.If(self.load | self.step):
            m.d.sync += address.eq(Mux(self.load, self.base, address + jump))
        m.d.comb += self.address.eq(address)
        return m
