"""What a board instantiates: the core with AXI names, ``aclk`` and ``aresetn``."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .config import AcceleratorConfig
from .core import Core

__all__ = ["Top"]


class Top(wiring.Component):
    """The accelerator. One clock, synchronous active-low reset, all ports flat.

    Parameters
    ----------
    config : AcceleratorConfig
    target : str
        Form of the array's cells: ``target.TARGETS``.

    Members
    -------
    aclk, aresetn : In(1)
    s_axil_* : AXI4-Lite slave, 32 bits: ``registers``.
    m_axi{p}_* : AXI3 or AXI4 masters.
    irq : Out(1)
        High while an enabled interrupt is pending.
    """

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.core = Core(config, target)
        super().__init__({"aclk": In(1), "aresetn": In(1), **self.core.signature.members})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.core = self.core
        for name, member in self.core.signature.members.items():
            ours, inner = getattr(self, name), getattr(self.core, name)
            pair = (inner, ours) if member.flow is wiring.In else (ours, inner)
            m.d.comb += pair[0].eq(pair[1])
        return m
