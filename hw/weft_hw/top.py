"""What a board instantiates: the core with AXI names, ``aclk`` and ``aresetn``."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import AcceleratorConfig
from .core import Core

__all__ = ["Top", "bus_pins"]


def bus_pins(
    prefix: str, *buses: wiring.FlippedInterface | wiring.PureInterface
) -> dict[str, tuple[ValueLike, wiring.Flow]]:
    """Signal and direction of each member of the buses of a component, by its name as a pin."""
    return {
        f"{prefix}_{name}": (signal, member.flow)
        for bus in buses
        for (name,), member, signal in bus.signature.flatten(bus)
    }


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
        Clock and reset.
    s_axil_NAME : In or Out
        AXI4-Lite slave: ``registers``. NAME is a member of ``control.axilite.AxiLitePort``.
    m_axi{p}_NAME : In or Out
        AXI3 or AXI4 master p. NAME is a member of ``dma.dma.AxiPort``.
    irq : Out(1)
        High while an enabled interrupt is pending.
    """

    def __init__(self, config: AcceleratorConfig, target: str = "portable") -> None:
        self.core = Core(config, target)
        #: Pins by name: of the core, a signal and its direction.
        self._pins = bus_pins("s_axil", self.core.s_axil)
        for p, port in enumerate(self.core.axi):
            self._pins |= bus_pins(f"m_axi{p}", port.read, port.write)
        self._pins["irq"] = self.core.irq, Out
        pins = {n: flow(Value.cast(s).shape()) for n, (s, flow) in self._pins.items()}
        super().__init__({"aclk": In(1), "aresetn": In(1), **pins})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.core = self.core
        for name, (inner, flow) in self._pins.items():
            pin = getattr(self, name)
            m.d.comb += inner.eq(pin) if flow is In else pin.eq(inner)
        return m
