"""The AXI4-Lite register block under cocotb."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from weft_hw.config import preset
from weft_hw.control.axilite import AxiLite, AxiLitePort
from weft_hw.control.register_file import RegisterFile

pytestmark = pytest.mark.sim


class RegisterBlock(wiring.Component):
    """Bus and registers as the core has them; `starts` counts doorbells."""

    def __init__(self):
        super().__init__(
            {
                "s_axil": In(AxiLitePort()),
                "status": In(4),
                "irq_set": In(2),
                "irq": Out(1),
                "starts": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bus = bus = AxiLite()
        m.submodules.registers = registers = RegisterFile(preset("tiny"))
        wiring.connect(m, wiring.flipped(self.s_axil), bus.s_axil)
        wiring.connect(m, bus.bus, registers.bus)
        for name in ("status", "irq_set"):
            m.d.comb += getattr(registers, name).eq(getattr(self, name))
        m.d.comb += self.irq.eq(registers.irq)
        m.d.sync += self.starts.eq(self.starts + registers.control[0])
        return m


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_registers(bench, stall):
    outcome = bench(RegisterBlock(), "bench_registers", name="register_block", stall=stall)
    assert outcome.tests == 5
