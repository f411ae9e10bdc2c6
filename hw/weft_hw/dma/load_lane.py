"""Gathers the beats of one port into words of all ports' width."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import chip_write_layout
from ..isa import SPACE_BITS
from .layouts import chip_beat_bits

__all__ = ["LoadLane", "context_layout", "gathered_layout"]


def context_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where a burst's data go: chip in beats, beats (0: a bare end marker), space, last; where it
    fills, every byte is `value`, and no data come."""
    return data.StructLayout(
        {
            "chip": unsigned(chip_beat_bits(config)),
            "beats": unsigned(5),
            "space": unsigned(SPACE_BITS),
            "last": unsigned(1),
            "fill": unsigned(1),
            "value": unsigned(8),
        }
    )


def gathered_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A write of one port; `last` where it ends the port's part of a transfer."""
    return data.StructLayout({"write": chip_write_layout(config), "last": unsigned(1)})


class LoadLane(wiring.Component):
    """Places beats at their position in words of P beats.

    A word goes out when its last position is filled or the burst ends. An end marker goes out as a
    word with an empty mask.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    context : In(stream)
        Bursts under way, in order.
    data : In(stream)
        Their beats, but of a fill; one a cycle.
    word : Out(stream)
        Gathered writes, at most one every P cycles where bursts are aligned. Latency 2.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "context": In(stream.Signature(context_layout(config))),
                "data": In(stream.Signature(config.axi_data_bits)),
                "word": Out(stream.Signature(gathered_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ports, width = config.axi_ports, config.axi_data_bits
        position_bits = (ports - 1).bit_length()

        # The burst whose beats arrive, and one that waits, so that no ready goes through here.
        current = Signal(context_layout(config), reset_less=True)
        waiting = Signal(context_layout(config), reset_less=True)
        has_current, has_waiting = Signal(), Signal()
        take, ends = Signal(), Signal()
        m.d.comb += [ends.eq(current.beats <= 1), self.context.ready.eq(~has_waiting)]
        with m.If(~has_current | (take & ends)):
            m.d.sync += [
                current.eq(Mux(has_waiting, waiting.as_value(), Value.cast(self.context.payload))),
                has_current.eq(has_waiting | self.context.valid),
                has_waiting.eq(0),
            ]
        with m.Else():
            with m.If(take):
                m.d.sync += [current.chip.eq(current.chip + 1), current.beats.eq(current.beats - 1)]
            with m.If(~has_waiting):
                m.d.sync += [waiting.eq(self.context.payload), has_waiting.eq(self.context.valid)]

        # The word being gathered, and the word on offer.
        gathered = Signal(gathered_layout(config), reset_less=True)
        full, empty = Signal(), Signal(init=1)
        offered = Signal(gathered_layout(config), reset_less=True)
        free, move, marker, dry = (Signal() for _ in range(4))
        beat = Signal(width)
        m.d.comb += [
            self.word.payload.eq(offered),
            free.eq(~self.word.valid | self.word.ready),
            move.eq(full & free),
            marker.eq(current.beats == 0),
            beat.eq(Mux(current.fill, current.value.replicate(width // 8), self.data.payload)),
            dry.eq(marker | current.fill),
            take.eq(has_current & (self.data.valid | dry) & (~full | move)),
            self.data.ready.eq(has_current & ~dry & (~full | move)),
        ]
        with m.If(free):
            m.d.sync += [offered.eq(gathered), self.word.valid.eq(full)]

        here = Signal(ports)  # one-hot position of the beat in its word
        if position_bits:
            m.d.comb += here.eq(1 << current.chip[:position_bits])
        else:
            m.d.comb += here.eq(1)
        with m.If(take):
            m.d.sync += [
                gathered.write.space.eq(current.space),
                gathered.write.address.eq(current.chip >> position_bits),
                gathered.last.eq(current.last & ends),
                full.eq(here[-1] | ends),
                empty.eq(here[-1] | ends),
            ]
            fresh = here & (~marker).replicate(ports)
            with m.If(empty):
                m.d.sync += gathered.write.mask.eq(fresh)
            with m.Else():
                m.d.sync += gathered.write.mask.eq(gathered.write.mask | fresh)
            for p in range(ports):
                with m.If(here[p]):
                    m.d.sync += gathered.write.data.word_select(p, width).eq(beat)
        with m.Elif(move):
            m.d.sync += full.eq(0)
        return m
