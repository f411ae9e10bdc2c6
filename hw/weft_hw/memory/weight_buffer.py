"""The weight buffer: addressed memory, one word of L rows of C weights per cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..delay import delay
from ..interface import chip_address_bits

__all__ = ["WeightBuffer"]


class WeightBuffer(wiring.Component):
    """One memory per segment, so that segment g is read g*R/L cycles after segment 0.

    Members
    -------
    read_en : In(1), read_address : In
        A word. No bound is tested here.
    read_data : Out(8 * L * C)
        Byte g*C + c; segment g comes g*R/L cycles later than segment 0.
    write_en : In(1), write_address : In, write_mask : In(P), write_data : In(8 * D)
        D bytes at a D-aligned address, in units of D, by beats.

    Latency
    -------
    ``LATENCY = 2`` cycles from `read_en` to segment 0's data.
    """

    LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "read_en": In(1),
                "read_address": In(range(config.weight_words)),
                "read_data": Out(8 * config.weight_word_bytes),
                "write_en": In(1),
                "write_address": In(chip_address_bits(config)),
                "write_mask": In(config.axi_ports),
                "write_data": In(8 * config.dma_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        chunks = cfg.weight_word_bytes // cfg.dma_bytes
        chunk_bits = (chunks - 1).bit_length()
        beat_bits = 8 * cfg.beat_bytes
        # Enables of a whole word, one per beat.
        enables = Cat(
            self.write_mask & self.write_en.replicate(cfg.axi_ports)
            & (self.write_address[:chunk_bits] == n).replicate(cfg.axi_ports)
            if chunk_bits
            else self.write_mask & self.write_en.replicate(cfg.axi_ports)
            for n in range(chunks)
        )
        data = self.write_data.replicate(chunks)
        per_segment = cfg.cols // cfg.beat_bytes
        for g in range(cfg.weight_rows_per_cycle):
            segment = memory.Memory(
                shape=unsigned(8 * cfg.cols), depth=cfg.weight_words, init=[]
            )
            m.submodules[f"segment{g}"] = segment
            write = segment.write_port(granularity=beat_bits)
            read = segment.read_port()
            en = delay(m, self.read_en, g * cfg.tile_words, name=f"read_en{g}")
            out = Signal(8 * cfg.cols, name=f"data{g}", reset_less=True)
            m.d.comb += [
                write.addr.eq(self.write_address[chunk_bits:]),
                write.en.eq(enables[g * per_segment : (g + 1) * per_segment]),
                write.data.eq(data[8 * cfg.cols * g : 8 * cfg.cols * (g + 1)]),
                read.en.eq(en),
                read.addr.eq(
                    delay(m, self.read_address, g * cfg.tile_words, name=f"read_address{g}")
                ),
                self.read_data[8 * cfg.cols * g : 8 * cfg.cols * (g + 1)].eq(out),
            ]
            m.d.sync += out.eq(read.data)
        return m
