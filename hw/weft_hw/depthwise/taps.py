"""The memory of the depthwise engine: weights of every tap, and parameters of their channels."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..interface import BeatWrite
from ..isa import TAPS

__all__ = ["TapMemory"]

#: Words of D bytes, up to which a memory is made of LUTs: a block RAM of this width is 512 deep.
SHALLOW = 128


class TapMemory(wiring.Component):
    """A memory of R-byte words for each tap; a read takes the same word of all.

    Members
    -------
    write : In(BeatWrite(config))
        D bytes at a D-aligned address: first all words of tap 0, then those of the next. It is
        always ready.
    address : In(range(tap_words))
    data : Out(ArrayLayout(8 * R, TAPS))

    Latency
    -------
    ``LATENCY = 2`` cycles.
    """

    LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "write": In(BeatWrite(config)),
                "address": In(range(config.tap_words)),
                "data": Out(data.ArrayLayout(8 * config.line_bytes, TAPS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        words = cfg.dma_bytes // cfg.line_bytes
        depth = cfg.tap_words // words
        row_bits, word_bits = (depth - 1).bit_length(), (words - 1).bit_length()
        which = delay(m, self.address[:word_bits], 1, name="which") if word_bits else None
        m.d.comb += self.write.ready.eq(1)
        style = {"ram_style": "distributed"} if depth <= SHALLOW else {}
        for tap in range(TAPS):
            bank = memory.Memory(
                shape=unsigned(8 * cfg.dma_bytes), depth=depth, init=[], attrs=style
            )
            m.submodules[f"tap{tap}"] = bank
            write, read = bank.write_port(granularity=8 * cfg.beat_bytes), bank.read_port()
            here = self.write.valid & (self.write.address[row_bits:] == tap)
            m.d.comb += [
                write.addr.eq(self.write.address[:row_bits]),
                write.data.eq(self.write.data),
                write.en.eq(self.write.mask & here.replicate(cfg.axi_ports)),
                read.addr.eq(self.address[word_bits:]),
                read.en.eq(1),
            ]
            out = Signal(8 * cfg.line_bytes, name=f"out{tap}", reset_less=True)
            found = read.data if which is None else read.data.word_select(which, len(out))
            m.d.sync += out.eq(found)
            m.d.comb += self.data[tap].eq(out)
        return m
