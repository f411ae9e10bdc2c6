"""Proofs, for ever: loop nests visit every index in order, and addresses are affine in them.

All six levels move, with counts of full width, any strides, loads at any time and steps at any time
but from the last iteration.

`test_nest`: `start`, `end`, `last` and `level` are those of an odometer, one index per level.

`test_addresses`: the address is base + sum(index[i] * stride[i]), modulo 2**width, with the jumps
stride[i] - below[i], where below[i] is the sum of (count[j] - 1) * stride[j] over the levels j < i.
Products of 16 by 20 bits are beyond the solver, so the proof goes level by level, for any level i:

- `part` is zero where level i returns to its start and grows by stride[i] where it advances, so it
  is index[i] * stride[i]. (The one step on paper; `test_parts_are_products` has it at small width.)
- `origin` is the address when levels 0..i-1 were at their start last, `outer` that of levels 0..i,
  which is the `origin` of level i + 1; for the last level it is the base.
- Assumed: where the levels below i are all at their end, the address is origin + below[i].
- Proved: origin == outer + part, always; so what is assumed holds for level i + 1, with below[i] +
  part; and for level 0 it holds anyway, since its origin is the address.

The origins, put into one another from level 0 up, are the sum.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant, opened
from sby import Refuted, prove
from weft_hw.compute.nest import COUNT_BITS, AddressGenerator, LoopNest
from weft_hw.isa import LOOP_LEVELS

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
    """Any loads and steps; a load comes with a step from the last iteration, or with `begin`."""

    def __init__(self, *, block: type[LoopNest] = LoopNest, cover: bool = False):
        self._block, self._cover = block, cover
        super().__init__(
            {
                "load": In(1),
                "begin": In(1),
                "step": In(1),
                "counts": In(COUNT_BITS).array(LOOP_LEVELS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.nest = nest = self._block()
        kept = opened(nest).names
        reference = Odometer(m, self.load, self.counts, self.step & ~self.load)
        m.d.comb += [
            nest.load.eq(self.load), nest.begin.eq(self.begin), nest.step.eq(self.step),
            Assume(~self.begin | self.load),
            Assume(~self.load | self.begin | (self.step & reference.loaded & nest.last)),
        ]
        for i in LEVELS:
            m.d.comb += nest.counts[i].eq(self.counts[i])
        level = lowest(m, [~end for end in reference.at_end])
        with m.If(reference.loaded):
            m.d.comb += [
                Assume(~self.step | ~nest.last | self.load),
                Assert(nest.level == level),
                Assert(nest.last == Cat(reference.at_end).all()),
            ]
            for i in LEVELS:
                left, reload, single = (kept[name][i] for name in ("left", "reload", "single"))
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
    """An address generator that follows any nest, seen from level `this`, any constant.

    `broken` gives level 1 a wrong jump, which the proof has to find.
    """

    def __init__(self, width, jump_width, levels, *, broken=False, cover=False):
        self._shape, self._broken, self._cover = (width, jump_width, levels), broken, cover
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "level": In(range(LOOP_LEVELS)),
                "ended": In(1),
                "base": In(width),
                "this": In(range(LOOP_LEVELS)),
                "below": In(width),
                "jumps": In(jump_width).array(LOOP_LEVELS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width, _, levels = self._shape
        m.submodules.dut = dut = AddressGenerator(*self._shape)
        m.d.comb += [
            dut.load.eq(self.load), dut.base.eq(self.base),
            dut.step.eq(self.step), dut.level.eq(self.level),
        ]
        for i in LEVELS:
            wrong = 1 if self._broken and i == 1 else 0
            m.d.comb += dut.jumps[i].eq(self.jumps[i] + wrong)
        constants = Cat(self.this, self.below, *self.jumps)
        before, loaded, base = Signal(len(constants)), Signal(), Signal(width)
        fresh = Signal()
        m.d.sync += [before.eq(constants), fresh.eq(self.load)]
        with m.If(self.load):
            m.d.sync += [loaded.eq(1), base.eq(self.base)]
        higher = self.step & (self.level > self.this)
        equal = self.step & (self.level == self.this)
        m.d.comb += [
            Assume(fresh | (before == constants)),  # held by the owner, from the load on
            Assume(~self.step | (loaded & Cat(self.level == i for i in levels).any())),
            Assume(self.this < LOOP_LEVELS),
            # `ended`: the levels below this one are at their end.
            Assume(~self.step | (self.ended == (self.level >= self.this))),
            Assume((self.this != 0) | (self.ended & (self.below == 0))),
        ]

        # The addresses that follow a load, or a step of this level or a higher one.
        restarts, outer_restarts = Signal(), Signal()
        origin, outer = Signal(width), Signal(width)
        last_origin, last_outer = Signal(width), Signal(width)
        stride, part = Signal(width), Signal(width)
        m.d.comb += [
            stride.eq(Array(self.jumps)[self.this].as_signed() + self.below),
            origin.eq(Mux(restarts, dut.address, last_origin)),
            outer.eq(Mux(outer_restarts, dut.address, last_outer)),
        ]
        m.d.sync += [
            restarts.eq(self.load | higher | equal), outer_restarts.eq(self.load | higher),
            last_origin.eq(origin), last_outer.eq(outer),
        ]
        with m.If(self.load | higher):
            m.d.sync += part.eq(0)
        with m.Elif(equal):
            m.d.sync += part.eq(part + stride)

        affine = Signal()
        m.d.comb += [
            affine.eq(dut.address == (origin + self.below)[:width]),
            Assume(~loaded | ~self.ended | affine | (self.this == 0)),
            Assert(~loaded | (self.this != 0) | affine),
            Assert(~loaded | (origin == (outer + part)[:width])),
            Assert(~loaded | (self.this != LOOP_LEVELS - 1) | (outer == base)),
        ]
        with m.If(loaded & self.ended):
            m.d.comb += Assert(dut.address == (outer + (self.below + part)[:width])[:width])
        if self._cover:
            apart = (origin != outer) & (outer != base) & (dut.address != origin)
            m.d.comb += Cover(loaded & self.ended & apart & (part != stride) & (self.this == 2))
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


@pytest.mark.slow
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
        ("single[i], left[i] == 1)", "single[i], left[i] == 2)"),
        ("(self.step & below_end)", "self.step"),
    ],
)
def test_broken_nests_are_refuted(old, new, tmp_path):
    harness = NestHarness(block=mutant(LoopNest, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=5, solver=SOLVER)
