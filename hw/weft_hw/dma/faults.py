"""Keeps the first fault of a unit and names its instruction."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..interface import INDEX_BITS, ErrorPort
from .layouts import TAG_BITS, Fault

__all__ = ["FirstFault"]


class FirstFault(wiring.Component):
    """First of several faults; of those in one cycle, the one with the lowest number.

    Parameters
    ----------
    n : sources.

    Members
    -------
    faults : In(Fault()).array(n)
        The sources, pulses or levels.
    tag : Out(TAG_BITS)
        The slot at fault.
    index : In(INDEX_BITS)
        The index of its instruction.
    error : Out(ErrorPort())
        One pulse until reset, 2 cycles after the fault.
    failed : Out(1)
        Level, from 1 cycle after the fault until reset.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        super().__init__(
            {
                "faults": In(Fault()).array(n),
                "tag": Out(TAG_BITS),
                "index": In(INDEX_BITS),
                "error": Out(ErrorPort()),
                "failed": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        code = Signal(4, reset_less=True)
        with m.If(~self.failed):
            for fault in reversed(self.faults):
                with m.If(fault.valid):
                    m.d.sync += [self.failed.eq(1), self.tag.eq(fault.tag), code.eq(fault.code)]
        reported = Signal()
        m.d.sync += [
            reported.eq(self.failed),
            self.error.valid.eq(self.failed & ~reported),
            self.error.code.eq(code),
            self.error.index.eq(self.index),
        ]
        return m
