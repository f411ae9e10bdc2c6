"""Proofs, for ever: loop nests visit every index in order, and addresses are affine in them.

All six levels move, with counts of full width, any strides, loads at any time and steps at any time
but from the last iteration. The proof has three parts.

1. `test_nest`: `start`, `end`, `last` and `level` are those of an odometer, one index per level.
2. `test_addresses`: let `part[i]` be zero where level i returns to its start, and grow by
   `stride[i]` where it advances. With the jumps stride[i] - sum(span[j] for j < i) the address is
   base + sum(part), for any flags `end` and any `span` with part[i] == span[i] where level i ends.
3. `part[i]` is index[i] * stride[i], since it is `stride[i]` added index[i] times. So the address
   is base + sum(index[i] * stride[i]), modulo 2**width; and with span[i] = (count[i] - 1) *
   stride[i], as the compiler has it, the condition of 2 holds where index[i] == count[i] - 1, so
   nothing real is assumed away. That repeated addition multiplies, at any width, is the one step
   left to paper: products of 16 by 20 bits are beyond the solver. `test_parts_are_products` checks
   it at a small width.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, C, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from weft_hw.compute.nest import COUNT_BITS, AddressGenerator, LoopNest
from weft_hw.isa import LOOP_LEVELS

from .inside import mutant, opened
from .sby import Refuted, prove

LEVELS = range(LOOP_LEVELS)
SOLVER = "--unroll z3"


class Odometer:
    """The reference: per level a count, taken by `load`, and an index, moved by `step`."""

    def __init__(self, m: Module, load, counts, step):
        self.loaded = Signal()
        self.count = [Signal(COUNT_BITS, name=f"count{i}") for i in LEVELS]
        self.index = [Signal(COUNT_BITS, name=f"index{i}") for i in LEVELS]
        self.at_end = [self.index[i] == self.count[i] - 1 for i in LEVELS]
        self.moves, self.returns = [], []  # per level
        carry = step
        for i in LEVELS:
            self.moves.append(carry & ~self.at_end[i])
            self.returns.append(carry & self.at_end[i])
            carry = self.returns[i]
        with m.If(load):
            m.d.sync += self.loaded.eq(1)
        for i in LEVELS:
            m.d.comb += Assume(counts[i] != 0)
            m.d.comb += Assert(~self.loaded | (self.index[i] < self.count[i]))
            with m.If(load):
                m.d.sync += [self.count[i].eq(counts[i]), self.index[i].eq(0)]
            with m.Elif(self.moves[i]):
                m.d.sync += self.index[i].eq(self.index[i] + 1)
            with m.Elif(self.returns[i]):
                m.d.sync += self.index[i].eq(0)


class NestHarness(wiring.Component):
    """Any loads and steps."""

    def __init__(self, *, block: type[LoopNest] = LoopNest, cover: bool = False):
        self._block, self._cover = block, cover
        super().__init__(
            {"load": In(1), "step": In(1), "counts": In(COUNT_BITS).array(LOOP_LEVELS)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.nest = nest = self._block()
        opened(nest)
        reference = Odometer(m, self.load, self.counts, self.step & ~self.load)
        m.d.comb += [nest.load.eq(self.load), nest.step.eq(self.step)]
        for i in LEVELS:
            m.d.comb += nest.counts[i].eq(self.counts[i])
        level = lowest(m, [~end for end in reference.at_end])
        with m.If(reference.loaded):
            m.d.comb += [
                Assume(~self.step | ~nest.last),
                Assert(nest.level == level),
                Assert(nest.last == Cat(reference.at_end).all()),
            ]
            for i in LEVELS:
                left, reload, single = nest.state[i]
                m.d.comb += [
                    Assert(nest.start[i] == (reference.index[i] == 0)),
                    Assert(nest.end[i] == reference.at_end[i]),
                    # Where the nest keeps it.
                    Assert(reload == reference.count[i] - 1),
                    Assert(left == reload - reference.index[i]),
                    Assert(single == (reference.count[i] == 1)),
                ]
        with m.Else():
            m.d.comb += Assume(~self.step)
        if self._cover:
            iterations = Signal(5)
            m.d.sync += iterations.eq(Mux(self.load, 0, iterations + self.step))
            m.d.comb += Cover(reference.loaded & nest.last & (iterations == 11))
        return m


class AddressHarness(wiring.Component):
    """An address generator, any flags of a nest, and the parts of the affine address.

    `broken` gives one level a wrong jump, which the proof has to find.
    """

    def __init__(self, width, jump_width, levels, *, broken=False, cover=False):
        self._shape, self._broken, self._cover = (width, jump_width, levels), broken, cover
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "end": In(LOOP_LEVELS),
                "base": In(width),
                "strides": In(width).array(LOOP_LEVELS),
                "spans": In(width).array(LOOP_LEVELS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width, _, levels = self._shape
        m.submodules.dut = dut = AddressGenerator(*self._shape)
        level = lowest(m, [~self.end[i] for i in LEVELS])
        loaded, base = Signal(), Signal(width)
        m.d.comb += [
            dut.load.eq(self.load), dut.base.eq(self.base),
            dut.step.eq(self.step), dut.level.eq(level),
            Assume(~self.step | (loaded & ~self.end.all())),
        ]
        with m.If(self.load):
            m.d.sync += [loaded.eq(1), base.eq(self.base)]

        parts, below, moves = [], [C(0, width)], []
        for i in LEVELS:
            stride, span = Signal(width, name=f"stride{i}"), Signal(width, name=f"span{i}")
            part = Signal(width, name=f"part{i}")
            moved = self.step & (level == i)
            with m.If(self.load):
                m.d.sync += [stride.eq(self.strides[i]), span.eq(self.spans[i]), part.eq(0)]
            with m.Elif(moved):
                m.d.sync += part.eq(part + stride)
            with m.Elif(self.step & (level > i)):
                m.d.sync += part.eq(0)
            m.d.comb += Assume(~loaded | ~self.end[i] | (part == span))
            if i not in levels:
                m.d.comb += Assume(self.end[i])  # a single iteration
            wrong = 1 if self._broken and i == 1 else 0
            m.d.comb += dut.jumps[i].eq(stride - below[i] + wrong)
            parts.append(part)
            moves.append(moved)
            below.append((below[i] + span)[:width])

        # `origin[i]` is the address at which levels 0..i-1 were at their start last.
        origin = [Signal(width, name=f"origin{i}") for i in LEVELS] + [base]
        with m.If(self.load):
            for signal in origin:
                m.d.sync += signal.eq(self.base)
        for i in LEVELS:
            with m.If(moves[i] & ~self.load):
                for signal in origin[: i + 1]:
                    m.d.sync += signal.eq(origin[i] + (dut.jumps[i] + below[i])[:width])
        want = base
        with m.If(loaded):
            for i in reversed(LEVELS):
                want = (want + parts[i])[:width]
                m.d.comb += [
                    Assert(origin[i] == (origin[i + 1] + parts[i])[:width]),
                    # With all levels below at their end, what a jump has to take back.
                    Assert(
                        ~self.end[:i].all() | (dut.address == (origin[i] + below[i])[:width])
                    ),
                ]
            m.d.comb += Assert(dut.address == want)
            if self._cover:
                m.d.comb += Cover(
                    self.end.all()
                    & (below[1] != 0) & (below[3] != below[2]) & (dut.address != base)
                )
        return m


def lowest(m: Module, flags: list[Value]) -> Signal:
    """The number of the lowest flag that is set, the last one's where none is."""
    level = Signal(range(LOOP_LEVELS), init=LOOP_LEVELS - 1)
    for i in reversed(LEVELS):
        with m.If(flags[i]):
            m.d.comb += level.eq(i)
    return level


class ProductHarness(wiring.Component):
    """One level alone: repeated addition, as in the address harness, beside the product."""

    INDEX_BITS, WIDTH = 3, 5

    def __init__(self):
        super().__init__({"clear": In(1), "move": In(1), "stride": In(self.WIDTH)})

    def elaborate(self, platform):
        m = Module()
        index, part, stride = Signal(self.INDEX_BITS), Signal(self.WIDTH), Signal(self.WIDTH)
        m.d.comb += Assume(~self.move | self.clear | ~index.all())
        with m.If(self.clear):
            m.d.sync += [index.eq(0), part.eq(0), stride.eq(self.stride)]
        with m.Elif(self.move):
            m.d.sync += [index.eq(index + 1), part.eq(part + stride)]
        m.d.comb += Assert(part == (index * stride)[: self.WIDTH])
        return m


def test_nest(tmp_path):
    prove(NestHarness(), tmp_path, depth=2, solver=SOLVER)


#: Of the rows' activations, of accumulators, and of weight tiles.
SHAPES = [(20, 20, tuple(LEVELS)), (12, 13, tuple(LEVELS)), (14, 15, tuple(LEVELS)[1:])]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape[0]))
def test_addresses(shape, tmp_path):
    prove(AddressHarness(*shape), tmp_path, depth=2, solver=SOLVER)


def test_parts_are_products(tmp_path):
    prove(ProductHarness(), tmp_path, depth=2, solver=SOLVER)


def test_reachable(tmp_path):
    """Twelve iterations of several levels; an address whose levels all have moved and ended."""
    for harness in (NestHarness(cover=True), AddressHarness(*SHAPES[0], cover=True)):
        folder = tmp_path / type(harness).__name__
        folder.mkdir()
        prove(harness, folder, mode="cover", depth=14, solver=SOLVER)


def test_a_wrong_jump_is_found(tmp_path):
    with pytest.raises(Refuted):
        prove(AddressHarness(*SHAPES[1], broken=True), tmp_path, mode="bmc", depth=4, solver=SOLVER)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.end[i].eq(left == 1)", "self.end[i].eq(left == 2)"),
        ("m.Elif(self.step & below_end)", "m.Elif(self.step)"),
    ],
)
def test_broken_nests_are_refuted(old, new, tmp_path):
    harness = NestHarness(block=mutant(LoopNest, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=5, solver=SOLVER)
