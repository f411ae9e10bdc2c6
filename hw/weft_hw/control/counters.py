"""Performance counters: one adder each, as ``weft_hw.isa.UNITS`` documents them."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import event_bits
from ..isa import UNITS, UnitSpec
from ..repeat import MAX_ENABLES, repeated

__all__ = ["COUNTER_BITS", "Counters"]

COUNTER_BITS = 32


class Counters(wiring.Component):
    """32-bit counters that wrap.

    Parameters
    ----------
    config : AcceleratorConfig
    units : sequence of UnitSpec
        Whose counters.

    Members
    -------
    clear : ``In(1)``, sets all to zero, 2 cycles later
    running : ``In(1)``, events of this cycle count
    event_NAME : ``In``, by how much counter NAME grows in this cycle
    NAME : ``Out(32)``, the counters

    Latency
    -------
    An event is in its counter 2 cycles later: events are registered, so that a counter adds nothing
    to the path of what it counts.
    """

    def __init__(
        self, config: AcceleratorConfig, *, units: Sequence[UnitSpec] = UNITS
    ) -> None:
        self._bits = event_bits(config, units)
        super().__init__(
            {
                "clear": In(1),
                "running": In(1),
                **{f"event_{name}": In(bits) for name, bits in self._bits.items()},
                **{name: Out(COUNTER_BITS) for name in self._bits},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A register of `clear` for every few counters: all of them are some hundred loads.
        group = MAX_ENABLES // COUNTER_BITS
        clears = repeated(m, self.clear, -(-len(self._bits) // group), name="clear")
        for i, (name, bits) in enumerate(self._bits.items()):
            event = getattr(self, f"event_{name}")
            total = getattr(self, name)
            step = Signal(bits, name=f"step_{name}")
            m.d.sync += step.eq(event & self.running.replicate(bits))
            with m.If(clears[i // group]):
                m.d.sync += total.eq(0)
            with m.Elif(step.any()):
                m.d.sync += total.eq(total + step)
        return m
