"""The AXI4-Lite register block under cocotb."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from weft_hw.config import preset
from weft_hw.control.axilite import AXI_LITE_PORTS, AxiLite
from weft_hw.control.register_file import RegisterFile

pytestmark = pytest.mark.sim


class RegisterBlock(wiring.Component):
    """Bus and registers as the core has them; `starts` counts doorbells."""

    def __init__(self):
        super().__init__(
            {
                **AXI_LITE_PORTS,
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
        for name in AXI_LITE_PORTS:
            outer, inner = getattr(self, name), getattr(bus, name)
            outgoing = AXI_LITE_PORTS[name].flow is Out
            m.d.comb += outer.eq(inner) if outgoing else inner.eq(outer)
        for name in ("write_enable", "write_word", "write_data", "write_strobe", "read_word"):
            m.d.comb += getattr(registers, name).eq(getattr(bus, name))
        for name in ("write_error", "read_data", "read_error"):
            m.d.comb += getattr(bus, name).eq(getattr(registers, name))
        for name in ("status", "irq_set"):
            m.d.comb += getattr(registers, name).eq(getattr(self, name))
        m.d.comb += self.irq.eq(registers.irq)
        m.d.sync += self.starts.eq(self.starts + registers.control[0])
        return m


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_registers(bench, stall):
    outcome = bench(RegisterBlock(), "bench_registers", name="register_block", stall=stall)
    assert outcome.tests == 5
