"""int8 -> int8 tables for one column pair."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import BeatWrite
from ..numerics import TABLE_SIZE

__all__ = ["TableLoader", "TableMemory"]


class TableMemory(wiring.Component):
    """All tables, with two read ports; realises ``numerics.lookup``.

    Members
    -------
    en : In(1)
    address : In(ArrayLayout(range(tables * 256), 2))
        Table number above the byte to look up, per column.
    data : Out(ArrayLayout(8, 2))
    write_en, write_address, write_data : In
        One byte.

    Latency
    -------
    ``LATENCY = 2`` cycles.
    """

    LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self.depth = config.tables * TABLE_SIZE
        super().__init__(
            {
                "en": In(1),
                "address": In(data.ArrayLayout(range(self.depth), 2)),
                "data": Out(data.ArrayLayout(8, 2)),
                "write_en": In(1),
                "write_address": In(range(self.depth)),
                "write_data": In(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bytes = store = memory.Memory(shape=unsigned(8), depth=self.depth, init=[])
        write = store.write_port()
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        for j in range(2):
            read = store.read_port()
            out = Signal(8, name=f"out{j}", reset_less=True)
            m.d.comb += [read.en.eq(self.en), read.addr.eq(self.address[j]), self.data[j].eq(out)]
            with m.If(self.en):
                m.d.sync += out.eq(read.data)
        return m


class TableLoader(wiring.Component):
    """Turns a write of D bytes into D writes of one byte: a load of tables runs at a byte a cycle.

    Members
    -------
    write : In(BeatWrite(config))
        It is ready with the last byte.
    write_en : Out(1)
        To every :class:`TableMemory`, as what follows.
    write_address : Out(range(tables * 256))
        Table number above the byte.
    write_data : Out(8)
        The byte.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "write": In(BeatWrite(config)),
                "write_en": Out(1),
                "write_address": Out(range(config.tables * TABLE_SIZE)),
                "write_data": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        index = Signal(range(cfg.dma_bytes))
        beat = index[(cfg.beat_bytes - 1).bit_length() :]
        enabled = self.write.mask.bit_select(beat, 1) if cfg.axi_ports > 1 else self.write.mask
        out_address = Signal.like(self.write_address, reset_less=True)
        out_data = Signal(8, reset_less=True)
        out_en = Signal()
        offset_bits = (cfg.dma_bytes - 1).bit_length()
        m.d.sync += [
            out_en.eq(self.write.valid & enabled),
            out_address.eq((self.write.address << offset_bits) | index),
            out_data.eq(self.write.data.word_select(index, 8)),
        ]
        m.d.comb += [
            self.write.ready.eq(index == cfg.dma_bytes - 1),
            self.write_en.eq(out_en),
            self.write_address.eq(out_address),
            self.write_data.eq(out_data),
        ]
        with m.If(self.write.valid):
            m.d.sync += index.eq(index + 1)
        return m
