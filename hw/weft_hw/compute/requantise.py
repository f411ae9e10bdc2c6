"""Requantisation of one column's accumulators."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..numerics import MULTIPLIER_BITS, PRE_MAX, RESIDUAL_SHIFT, SAT_BITS

__all__ = ["Requantise", "SetupLayout", "saturate"]

#: Bits kept between the two shifts.
COARSE_BITS = 26

#: Per-tensor constants of the result stage; they change only while the compute pipeline is empty.
SetupLayout = data.StructLayout(
    {
        "pre": unsigned(3),
        "zero_point": signed(16),
        "low": signed(16),
        "high": signed(16),
        "residual_multiplier": unsigned(MULTIPLIER_BITS),
    }
)


def saturate(value: Value, bits: int) -> Value:
    """Signed `value` limited to `bits` bits."""
    sign, top = value[-1], value[bits - 1 :]
    fits = top.all() | ~top.any()
    limit = Cat((~sign).replicate(bits - 1), sign)
    return Mux(fits, value[:bits], limit).as_signed()


class Requantise(wiring.Component):
    """``clamp(zero_point + ((sat25(acc >> pre) * multiplier + 2**(shift-1)) >> shift))``.

    Realises ``numerics.requantise``, stage by stage; the multiplication and the rounding constant
    fit one DSP48 (25 x 18 bits signed, 48-bit sum). A residual goes through the same multiplier,
    one cycle ahead of its value, whose place it takes there: such values come every second cycle
    at most, and what else is in flight between them gives no result.

    Members
    -------
    acc : In(signed(32))
    multiplier : In(17), shift : In(6)
        Shift 0..42; 0 (padding columns) means no shift and no rounding.
        In force one cycle after the row's `acc` (they are registered beside the saturated value).
    residual : In(signed(9)), residual_en : In(1)
        Less its zero point; one cycle before the value's `acc`.
    residual_shift : In(6)
        The value's `shift`, with its `acc`: what is added for the rounding goes with the residual.
    setup : In(SetupLayout)
    result : Out(signed(16))

    Latency
    -------
    ``LATENCY = 7`` cycles; one value a cycle.

    Source
    ------
    Jacob et al., arXiv:1712.05877, section 2.2.
    """

    LATENCY = 7

    def __init__(self) -> None:
        super().__init__(
            {
                "acc": In(signed(32)),
                "multiplier": In(MULTIPLIER_BITS),
                "shift": In(6),
                "residual": In(signed(9)),
                "residual_en": In(1),
                "residual_shift": In(6),
                "setup": In(SetupLayout),
                "result": Out(signed(16)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        def register(name: str, shape: object) -> Signal:
            return Signal(shape, name=name, reset_less=True)

        # Cycle 0: shift by `pre`, saturate.
        pre = Signal(signed(32))
        with m.Switch(self.setup.pre):
            for n in range(PRE_MAX + 1):
                with m.Case(n):
                    m.d.comb += pre.eq(self.acc >> n)
        a = register("saturated", signed(SAT_BITS))
        is_residual = register("is_residual", unsigned(1))
        raised = Signal(signed(SAT_BITS))
        m.d.comb += raised.eq(self.residual << RESIDUAL_SHIFT)
        m.d.sync += [
            a.eq(Mux(self.residual_en, raised, saturate(pre, SAT_BITS))),
            is_residual.eq(self.residual_en),
        ]
        # Cycle 1: multiply; the parameters were registered in cycle 0.
        bits = SAT_BITS + MULTIPLIER_BITS
        product = register("product", signed(bits))
        after = register("after", unsigned(1))
        factor = Mux(is_residual, self.setup.residual_multiplier, self.multiplier)
        m.d.sync += [product.eq(a * factor), after.eq(is_residual)]
        half = register("half", unsigned(bits))
        s1 = register("shift1", unsigned(6))
        rounding = Mux(is_residual, self.residual_shift, self.shift)
        m.d.sync += [s1.eq(self.shift), half.eq((Const(1) << rounding) >> 1)]
        # Cycle 2: add a half; to a value behind its residual, that, to which a half was added.
        rounded = register("rounded", signed(bits + 2))
        # The flag says when not to go on: Yosys 0.70 maps a multiplexer in front of a DSP48's adder
        # as if its first input were the sum, whichever is.
        alone = register("alone", unsigned(1))
        s2 = register("shift2", unsigned(6))
        m.d.sync += [
            alone.eq(~after),
            rounded.eq(product + Mux(alone, half, rounded)),
            s2.eq(s1),
        ]
        # Cycles 3 and 4: shift by multiples of eight, then by the rest. 18 bits hold every value
        # that the clamp can tell apart (int16 bounds, int16 zero point), so 26 do before a shift by
        # 0..7; what does not fit is found beside the shift, not behind it.
        coarse = register("coarse", signed(COARSE_BITS))
        s3 = register("shift3", unsigned(3))
        m.d.sync += s3.eq(s2[:3])
        shifted = Signal(COARSE_BITS)
        fits = Signal()
        with m.Switch(s2[3:]):
            for n in range(bits // 8 + 1):
                top = rounded[min(8 * n + COARSE_BITS - 1, len(rounded) - 1) :]
                with m.Case(n):
                    m.d.comb += [shifted.eq(rounded >> (8 * n)), fits.eq(top.all() | ~top.any())]
        sign = rounded[-1]
        m.d.sync += coarse.eq(
            Mux(fits, shifted, Cat((~sign).replicate(COARSE_BITS - 1), sign)).as_signed()
        )
        scaled = register("scaled", signed(18))
        whole = Signal(signed(COARSE_BITS))
        m.d.comb += whole.eq(Array([coarse >> n for n in range(8)])[s3])
        m.d.sync += scaled.eq(saturate(whole, 18))
        # Cycle 5: zero point. Cycle 6: clamp.
        offset = register("offset", signed(19))
        m.d.sync += offset.eq(scaled + self.setup.zero_point)
        result = register("clamped", signed(16))
        # Both bounds are compared at once; where they cross, the upper one wins.
        crossed = register("crossed", unsigned(1))
        m.d.sync += crossed.eq(self.setup.low > self.setup.high)
        below, above = offset < self.setup.low, offset > self.setup.high
        m.d.sync += result.eq(
            Mux(above | (below & crossed), self.setup.high, Mux(below, self.setup.low, offset))
        )
        m.d.comb += self.result.eq(result)
        return m
