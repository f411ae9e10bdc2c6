"""Reads the words of one port's bursts and takes them apart into beats."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import chip_address_bits
from .flow import Queue
from .layouts import chip_beat_bits

__all__ = ["StoreLane", "job_layout", "part_layout"]

#: Cycles from a granted request to its word in the queue and to the credit that comes back: the
#: scratchpad's 8, two buffers, two for the queue, and two of slack.
ROUND_TRIP_CYCLES = 14


def job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A burst to read: chip in beats, beats 1..16."""
    return data.StructLayout({"chip": unsigned(chip_beat_bits(config)), "beats": unsigned(5)})


def part_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Which beats of a word are wanted: from position `first` on, `more` + 1 of them."""
    bits = (config.axi_ports - 1).bit_length()
    return data.StructLayout({"first": unsigned(bits), "more": unsigned(bits)})


class StoreLane(wiring.Component):
    """Turns bursts into word reads, and words into beats.

    It asks only for words that it has room for.

    Parameters
    ----------
    config : the accelerator.

    Members
    -------
    job : In(stream)
        Bursts to read.
    request : Out(stream)
        Word addresses with the part that is wanted; at most one a cycle.
    word, word_part, word_valid : In
        Answers, in order of the requests.
    beat : Out(stream)
        Beats, one a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        request = data.StructLayout(
            {"address": unsigned(chip_address_bits(config)), "part": part_layout(config)}
        )
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(config))),
                "request": Out(stream.Signature(request)),
                "word": In(8 * config.dma_bytes),
                "word_part": In(part_layout(config)),
                "word_valid": In(1),
                "beat": Out(stream.Signature(config.axi_data_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ports, width = config.axi_ports, config.axi_data_bits
        bits = (ports - 1).bit_length()
        depth = max(8, 2 * ROUND_TRIP_CYCLES // ports)
        entry = data.StructLayout(
            {"word": unsigned(8 * config.dma_bytes), "part": part_layout(config)}
        )
        m.submodules.words = words = Queue(entry, depth=depth)

        # Requests.
        chip = Signal(chip_beat_bits(config), reset_less=True)
        left = Signal(5)
        # The next job waits here, so that no ready goes through.
        waiting, has_waiting = Signal(job_layout(config), reset_less=True), Signal()
        credits = Signal(range(depth + 1), init=depth)
        here, count = Signal(range(ports + 1)), Signal(range(ports + 1))
        asked, ends, freed = Signal(), Signal(), Signal()
        m.d.comb += [
            here.eq(ports - chip[:bits]),  # beats of the word from the position on
            ends.eq(left <= here),
            count.eq(here),
            self.request.valid.eq((left != 0) & (credits != 0)),
            self.request.payload.address.eq(chip >> bits),
            self.request.payload.part.first.eq(chip[:bits]),
            self.request.payload.part.more.eq(count - 1),
            asked.eq(self.request.valid & self.request.ready),
            self.job.ready.eq(~has_waiting),
        ]
        with m.If(ends):
            m.d.comb += count.eq(left)
        following = Signal(job_layout(config))
        m.d.comb += following.eq(Mux(has_waiting, waiting.as_value(), Value.cast(self.job.payload)))
        with m.If((left == 0) | (asked & ends)):
            some = has_waiting | self.job.valid
            m.d.sync += [
                chip.eq(following.chip),
                left.eq(following.beats & some.replicate(5)),
                has_waiting.eq(0),
            ]
        with m.Else():
            with m.If(asked):
                m.d.sync += [chip.eq(chip + here), left.eq(left - here)]
            with m.If(~has_waiting):
                m.d.sync += [waiting.eq(self.job.payload), has_waiting.eq(self.job.valid)]
        m.d.sync += credits.eq(credits - asked + freed)

        # Answers.
        taken = Signal(bits)  # beats of the word at the head that are gone
        head = words.o.payload
        position = Signal(bits)
        m.d.comb += [
            words.i.payload.word.eq(self.word),
            words.i.payload.part.eq(self.word_part),
            words.i.valid.eq(self.word_valid),
            position.eq(head.part.first + taken),
            self.beat.payload.eq(head.word.word_select(position, width)),
            self.beat.valid.eq(words.o.valid),
            words.o.ready.eq(self.beat.ready & (taken == head.part.more)),
            freed.eq(words.o.valid & words.o.ready),
        ]
        with m.If(freed):
            m.d.sync += taken.eq(0)
        with m.Elif(self.beat.valid & self.beat.ready):
            m.d.sync += taken.eq(taken + 1)
        return m
