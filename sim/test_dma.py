"""Data movement under cocotb, between a memory per bus port and a memory on chip."""

from __future__ import annotations

import pytest
from amaranth.hdl import Cat, Module, ResetSignal, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from weft_hw.config import PRESETS
from weft_hw.dma.dma import Dma
from weft_hw.interface import INSTRUCTION_BITS
from weft_hw.isa import Space
from weft_hw.top import bus_pins

pytestmark = pytest.mark.sim


class DmaWithChip(wiring.Component):
    """A Dma whose loads and stores meet in one memory; only loads to the scratchpad reach it.

    `load`, `load_valid`, `load_ready` (and `store`) start an instruction; `loads` and `stores`
    count retirements, `errors` errors, and `code` is that of the latest.
    """

    def __init__(self, config):
        self.config = config
        self.dma = Dma(config)
        self.pins = {}
        for p, port in enumerate(self.dma.axi):
            self.pins |= bus_pins(f"m_axi{p}", port.read, port.write)
        super().__init__(
            {
                **{name: flow(Value.cast(s).shape()) for name, (s, flow) in self.pins.items()},
                "load": In(INSTRUCTION_BITS),
                "load_valid": In(1),
                "load_ready": Out(1),
                "store": In(INSTRUCTION_BITS),
                "store_valid": In(1),
                "store_ready": Out(1),
                "loads": Out(16),
                "stores": Out(16),
                "errors": Out(8),
                "code": Out(4),
                "arena_base": In(49),
                "arena_bytes": In(32),
                "abort": In(1),
                "bus_idle": Out(1),
                "chip_stall": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.dma = dma = self.dma
        for name, (inner, flow) in self.pins.items():
            pin = getattr(self, name)
            m.d.comb += inner.eq(pin) if flow is In else pin.eq(inner)
        for unit, count in (("load", self.loads), ("store", self.stores)):
            port = getattr(dma, unit)
            start, retire = port.start, port.retire
            m.d.comb += [
                start.payload.word.eq(getattr(self, unit)),
                start.valid.eq(getattr(self, f"{unit}_valid")),
                getattr(self, f"{unit}_ready").eq(start.ready),
            ]
            m.d.sync += count.eq(count + retire.valid)
        m.d.comb += [
            dma.arena.base.eq(self.arena_base),
            dma.arena.bytes.eq(self.arena_bytes),
            dma.abort.eq(self.abort),
            self.bus_idle.eq(dma.bus_idle),
        ]
        error = dma.load.error
        with m.If(error.valid):
            m.d.sync += [self.errors.eq(self.errors + 1), self.code.eq(error.code)]

        words = config.scratchpad_bytes // config.dma_bytes
        m.submodules.chip = chip = memory.Memory(shape=8 * config.dma_bytes, depth=words, init=[])
        put, get = chip.write_port(granularity=config.axi_data_bits), chip.read_port()
        write, read = dma.chip_write, dma.chip_read
        answer = Signal()
        m.d.comb += [
            put.addr.eq(write.payload.address),
            put.data.eq(write.payload.data),
            put.en.eq(
                Cat(
                    bit & write.valid & write.ready & (write.payload.space == Space.SCRATCHPAD)
                    for bit in write.payload.mask
                )
            ),
            write.ready.eq(~self.chip_stall),
            read.ready.eq(~self.chip_stall),
            get.addr.eq(read.address),
            read.data.eq(get.data),
            read.data_valid.eq(answer & ~ResetSignal()),
        ]
        m.d.sync += answer.eq(read.valid & read.ready)
        return m


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset", ["tiny-wide", "pynq-z2", "kv260"])
def test_dma(bench, preset, stall):
    # cocotbext-axi has no AXI3; tests/hw/dma covers that form.
    config = PRESETS[preset].replace(axi_protocol="axi4")
    name = f"dma_{preset.replace('-', '_')}"
    outcome = bench(DmaWithChip(config), "bench_dma", name=name, preset=preset, stall=stall)
    assert outcome.tests == 4
