"""A cell of the packed array: one DSP48."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..target import Packing

__all__ = ["DspCell"]


class DspCell(wiring.Component):
    """Multiply-accumulate with two weight levels, all of its registers in one DSP48E1 or DSP48E2.

    Parameters
    ----------
    packing : Packing
    head : bool
        First of a cascade: adds half of the lower field instead of `above`, so that the upper field
        of the sum is exact without a carry from the lower one.

    Members
    -------
    weight : In(signed(operand_bits))
        Enters A1 with `copy`.
    copy, swap : In(1)
        Take `weight` into A1; A1 goes to A2, the operand.
    act : In(signed(8))
    above : In(48)
        The `sum` of the row above: connect cell to cell (PCOUT to PCIN), nothing else.
    sum : Out(48)
        For the row below.
    total : Out(signed(48))
        The same value, for logic.

    Latency
    -------
    3 cycles from `act` to `sum`: B, M and P. 1 from `above`. 2 from `swap` to the product.

    Source
    ------
    UG479 (DSP48E1) and UG579 (DSP48E2), Xilinx.
    """

    def __init__(self, packing: Packing, head: bool) -> None:
        self.packing = packing
        self.head = head
        super().__init__(
            {
                "weight": In(signed(packing.operand_bits)),
                "copy": In(1),
                "swap": In(1),
                "act": In(signed(8)),
                "above": In(48),
                "sum": Out(48),
                "total": Out(signed(48)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        second = self.packing.primitive == "DSP48E2"
        a, b = Signal(signed(30)), Signal(signed(18))
        m.d.comb += [a.eq(self.weight), b.eq(self.act)]
        # X and Y are the product; Z is C or PCIN; the E2 has a fourth input, W, which is zero.
        opmode = Const(0b011_01_01 if self.head else 0b001_01_01, 9 if second else 7)
        zero, one = Const(0, 1), Const(1, 1)
        registers = {
            "AREG": 2, "ACASCREG": 2, "BREG": 1, "BCASCREG": 1, "MREG": 1, "PREG": 1, "CREG": 0,
            "DREG": 0, "ADREG": 0, "ALUMODEREG": 0, "CARRYINREG": 0, "CARRYINSELREG": 0,
            "INMODEREG": 0, "OPMODEREG": 0,
        }
        modes = {
            "A_INPUT": "DIRECT", "B_INPUT": "DIRECT", "USE_MULT": "MULTIPLY", "USE_SIMD": "ONE48",
            "USE_PATTERN_DETECT": "NO_PATDET",
        }
        modes |= {"AMULTSEL": "A", "BMULTSEL": "B"} if second else {"USE_DPORT": "FALSE"}
        enables = {
            "CEA1": self.copy, "CEA2": self.swap, "CEB1": zero, "CEB2": one, "CEM": one,
            "CEP": one, "CEC": zero, "CED": zero, "CEAD": zero, "CEALUMODE": zero, "CECTRL": zero,
            "CECARRYIN": zero, "CEINMODE": zero,
        }
        resets = ("RSTA", "RSTB", "RSTC", "RSTD", "RSTM", "RSTP", "RSTALLCARRYIN", "RSTALUMODE",
                  "RSTCTRL", "RSTINMODE")
        inputs = {
            "A": a, "B": b, "C": Const(1 << (self.packing.shift - 1), 48),
            "D": Const(0, 27 if second else 25), "OPMODE": opmode, "ALUMODE": Const(0, 4),
            "INMODE": Const(0, 5), "CARRYIN": zero, "CARRYINSEL": Const(0, 3), "PCIN": self.above,
            "ACIN": Const(0, 30), "BCIN": Const(0, 18), "CARRYCASCIN": zero, "MULTSIGNIN": zero,
            "CLK": ClockSignal(), **enables, **dict.fromkeys(resets, zero),
        }
        m.submodules.dsp = Instance(
            self.packing.primitive,
            **{f"p_{name}": value for name, value in (registers | modes).items()},
            **{f"i_{name}": value for name, value in inputs.items()},
            o_P=self.total,
            o_PCOUT=self.sum,
        )
        return m
