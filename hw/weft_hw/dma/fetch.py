"""Checks the bursts of instruction fetch against the arena."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from .layouts import burst_layout

__all__ = ["Fetch"]


class Fetch(wiring.Component):
    """Passes a fetch burst on, or refuses it.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    offset, beats : In
        A request: byte offset in the arena, and beats.
    valid : In(1), ready : Out(1)
        Its handshake.
    burst : Out(stream)
        To a port; latency 2 cycles; one burst in 3 cycles.
    arena_bytes : In
        Size of the arena.
    outside : Out(1)
        Level; a burst left the arena. It was dropped, and so are all that follow.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "offset": In(32),
                "beats": In(5),
                "valid": In(1),
                "ready": Out(1),
                "burst": Out(stream.Signature(burst_layout(config))),
                "arena_bytes": In(32),
                "outside": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat_shift = (self._config.beat_bytes - 1).bit_length()
        burst = Signal(burst_layout(self._config), reset_less=True)
        end = Signal(len(burst.offset) + 1, reset_less=True)  # beats
        m.d.comb += self.burst.payload.eq(burst)
        with m.FSM():
            with m.State("Take"):
                m.d.comb += self.ready.eq(1)
                m.d.sync += [
                    burst.offset.eq(self.offset[beat_shift:]),
                    burst.beats.eq(self.beats),
                    end.eq(self.offset[beat_shift:] + self.beats),
                ]
                with m.If(self.valid & ~self.outside):
                    m.next = "Check"
            with m.State("Check"):
                with m.If(end > self.arena_bytes[beat_shift:]):
                    m.d.sync += self.outside.eq(1)
                    m.next = "Take"
                with m.Else():
                    m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += self.burst.valid.eq(1)
                with m.If(self.burst.ready):
                    m.next = "Take"
        return m
