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
    `expired` rises 3 cycles after the last of them.
    """

    LATENCY = 3

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
        # The comparison has a cycle of its own.
        far, enabled = Signal(), Signal()
        m.d.sync += [
            far.eq(~moved & (still >= self.limit)),
            enabled.eq(self.limit.any()),
            self.expired.eq(far & enabled),
        ]
        return m
