"""The parameter memory: bias, multiplier and shift of output channels, a pair of channels per
cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import PARAMETER_BYTES, AcceleratorConfig
from ..delay import delay
from ..interface import chip_address_bits
from ..numerics import MULTIPLIER_AT, MULTIPLIER_BITS, SHIFT_AT, SHIFT_BITS

__all__ = ["PAIR_BYTES", "EntryLayout", "ParameterMemory"]

#: Bytes of two entries, what one column pair needs.
PAIR_BYTES = 2 * PARAMETER_BYTES

#: One entry, 8 bytes; the order of the fields is the order of the bits.
EntryLayout = data.StructLayout(
    {
        "bias": signed(MULTIPLIER_AT),
        "multiplier": unsigned(MULTIPLIER_BITS),
        "shift": unsigned(SHIFT_BITS),
        "reserved": unsigned(8 * PARAMETER_BYTES - SHIFT_AT - SHIFT_BITS),
    }
)


class ParameterMemory(wiring.Component):
    """Memory of entries, read by pairs.

    Members
    -------
    read_en : In(1), read_address : In
        A pair of entries. No bound is tested here.
    read_data : Out(ArrayLayout(EntryLayout, 2))
    write_en : In(1), write_address : In, write_mask : In(P), write_data : In(8 * D)
        D bytes at a D-aligned address, in units of D, by beats.

    Latency
    -------
    ``LATENCY = 2`` cycles.
    """

    LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "read_en": In(1),
                "read_address": In(range(config.parameter_bytes // PAIR_BYTES)),
                "read_data": Out(data.ArrayLayout(EntryLayout, 2)),
                "write_en": In(1),
                "write_address": In(chip_address_bits(config)),
                "write_mask": In(config.axi_ports),
                "write_data": In(8 * config.dma_bytes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        word_bytes = max(cfg.dma_bytes, PAIR_BYTES)
        chunks, pairs = word_bytes // cfg.dma_bytes, word_bytes // PAIR_BYTES
        chunk_bits, pair_bits = (chunks - 1).bit_length(), (pairs - 1).bit_length()
        m.submodules.entries = entries = memory.Memory(
            shape=unsigned(8 * word_bytes), depth=cfg.parameter_bytes // word_bytes, init=[]
        )
        write = entries.write_port(granularity=8 * cfg.beat_bytes)
        read = entries.read_port()
        mask = self.write_mask & self.write_en.replicate(cfg.axi_ports)
        m.d.comb += [
            write.addr.eq(self.write_address[chunk_bits:]),
            write.data.eq(self.write_data.replicate(chunks)),
            write.en.eq(
                Cat(
                    mask & (self.write_address[:chunk_bits] == n).replicate(cfg.axi_ports)
                    for n in range(chunks)
                )
                if chunk_bits
                else mask
            ),
            read.en.eq(self.read_en),
            read.addr.eq(self.read_address[pair_bits:]),
        ]
        out = Signal(8 * PAIR_BYTES, reset_less=True)
        if pair_bits:
            which = delay(m, self.read_address[:pair_bits], 1, name="which")
            m.d.sync += out.eq(read.data.word_select(which, 8 * PAIR_BYTES))
        else:
            m.d.sync += out.eq(read.data)
        m.d.comb += self.read_data.as_value().eq(out)
        return m
