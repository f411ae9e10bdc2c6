"""The columns of a window that are not read again: lines of a stream, some reads back."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..isa import TAP_DELAY_MAX, TAPS

__all__ = ["Window"]


class Window(wiring.Component):
    """Line t of a stream, line t - delay1, and line t - delay1 - delay2.

    A ring of lines for each delay, which is written where it was read so many lines ago.

    Members
    -------
    delays : In(ArrayLayout(6, 2))
        1..32 each; to be steady from `load` on.
    load : In(1)
        Take the delays; at least a cycle before the first line.
    valid : In(1), line : In(8 * R)
        The next line of the stream.
    taps : Out(ArrayLayout(8 * R, TAPS))
        Tap 0 is the newest; no particular value where the stream has not been so long.

    Latency
    -------
    1 cycle; a line a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        bits = TAP_DELAY_MAX.bit_length()
        super().__init__(
            {
                "delays": In(data.ArrayLayout(bits, TAPS - 1)),
                "load": In(1),
                "valid": In(1),
                "line": In(8 * config.line_bytes),
                "taps": Out(data.ArrayLayout(8 * config.line_bytes, TAPS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = 8 * self.config.line_bytes
        place_bits = (TAP_DELAY_MAX - 1).bit_length()
        place = Signal(place_bits)
        with m.If(self.valid):
            m.d.sync += place.eq(place + 1)
        line = self.line
        for tap in range(TAPS):
            kept = Signal(width, name=f"tap{tap}", reset_less=True)
            m.d.sync += kept.eq(line)
            m.d.comb += self.taps[tap].eq(kept)
            if tap == TAPS - 1:
                break
            ring = memory.Memory(shape=unsigned(width), depth=TAP_DELAY_MAX, init=[])
            m.submodules[f"ring{tap}"] = ring
            write, read = ring.write_port(), ring.read_port(domain="comb")
            behind = Signal(place_bits, name=f"behind{tap}", reset_less=True)
            with m.If(self.load):
                m.d.sync += behind.eq(place - self.delays[tap])
            with m.Elif(self.valid):
                m.d.sync += behind.eq(behind + 1)
            m.d.comb += [
                write.addr.eq(place), write.data.eq(line), write.en.eq(self.valid),
                read.addr.eq(behind),
            ]
            line = read.data
        return m
