"""The watchdog: notices that nothing moves."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Count cycles without progress.

    Members
    -------
    limit : ``In(32)``, cycles; 0 switches it off
    progress : ``In(1)``, something moved
    expired : ``Out(1)``, `limit` cycles in a row passed without progress

    Latency
    -------
    `expired` rises 2 cycles after the last of them.
    """

    LATENCY = 2

    def __init__(self) -> None:
        super().__init__({"limit": In(32), "progress": In(1), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        moved = Signal(init=1)
        # Cycles without progress, the one of which `moved` tells included.
        still = Signal(32, init=1)
        m.d.sync += moved.eq(self.progress)
        with m.If(moved):
            m.d.sync += still.eq(1)
        with m.Else():
            m.d.sync += still.eq(still + 1)
        m.d.sync += self.expired.eq(self.limit.any() & ~moved & (still >= self.limit))
        return m
