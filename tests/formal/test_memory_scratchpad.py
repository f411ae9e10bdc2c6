"""Proof, for ever: one read per memory, one write per bank and cycle; waits have a cause."""

from __future__ import annotations

import itertools

import pytest
from amaranth.hdl import Assert, Cat, Cover, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from inside import mutant
from sby import Refuted, prove
from weft_hw.config import PRESETS
from weft_hw.memory.scratchpad import WORD_BITS, ResultWrite, Scratchpad, line_bits

CONFIG = PRESETS["tiny"].replace(scratchpad_bank_bytes=1024)


class Harness(wiring.Component):
    """All clients at once, free in every cycle."""

    def __init__(self, *, block: type[Scratchpad] = Scratchpad):
        self._block = block
        bits = line_bits(CONFIG)
        super().__init__(
            {
                "array_en": In(1),
                "array_word": In(WORD_BITS),
                "store_valid": In(1),
                "store_line": In(bits),
                "result": In(ResultWrite(CONFIG)),
                "load_valid": In(1),
                "load_line": In(bits),
                "load_data": In(8 * CONFIG.dma_bytes),
                "line_valid": In(1),
                "line": In(bits),
                "wide_valid": In(1),
                "wide": In(bits),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._block(CONFIG)
        m.d.comb += [
            dut.array.en.eq(self.array_en), dut.array.word.eq(self.array_word),
            dut.store.valid.eq(self.store_valid), dut.store.address.eq(self.store_line),
            dut.result.eq(self.result),
            dut.load.valid.eq(self.load_valid), dut.load.address.eq(self.load_line),
            dut.load.mask.eq(1), dut.load.data.eq(self.load_data),
            dut.depthwise_read.valid.eq(self.line_valid), dut.depthwise_read.line.eq(self.line),
            dut.depthwise_write.valid.eq(self.wide_valid), dut.depthwise_write.line.eq(self.wide),
        ]

        def bank(line):
            return line[(CONFIG.scratchpad_bank_bytes // CONFIG.line_bytes - 1).bit_length() :]

        # One write per bank and cycle, one read per memory and cycle; the array reads two cycles
        # later, in the memories of its first and of its last byte.
        result_bank = bank(self.result.pair << 1)
        writers = [
            (self.result.valid, result_bank),
            (self.wide_valid & dut.depthwise_write.ready, bank(self.wide)),
            (self.load_valid & dut.load.ready, bank(self.load_line)),
        ]
        for (one, here), (other, there) in itertools.combinations(writers, 2):
            m.d.comb += Assert(~(one & other & (here == there)))
        shift = (CONFIG.line_bytes // 4 - 1).bit_length()
        array_en, first = self.array_en, self.array_word
        last = (self.array_word + CONFIG.line_bytes // 4 - 1)[:WORD_BITS]
        for n in range(2):
            later = Signal(1 + 2 * WORD_BITS, name=f"array{n}")
            m.d.sync += later.eq(Cat(array_en, first, last))
            array_en, first, last = later[0], later[1 : 1 + WORD_BITS], later[1 + WORD_BITS :]
        # Two readers share a bank where one reads the even and the other the odd memory of it. Of a
        # line past the end only the bits that number a bank count for the depthwise unit.
        number = (CONFIG.scratchpad_banks - 1).bit_length()
        taken = [(bank(at >> shift), (at >> shift)[0]) for at in (first, last)]
        here, half = bank(self.store_line), self.store_line[0]
        same_read = array_en & Cat(
            (b < CONFIG.scratchpad_banks) & (b == here) & (h == half) for b, h in taken
        ).any()
        number_here, line_half = bank(self.line)[:number], self.line[0]
        same_line = (
            array_en
            & Cat(
                (b < CONFIG.scratchpad_banks) & (b[:number] == number_here) & (h == line_half)
                for b, h in taken
            ).any()
        ) | (self.store_valid & (here[:number] == number_here) & (half == line_half))
        reads = self.store_valid & dut.store.ready
        lines = self.line_valid & dut.depthwise_read.ready
        m.d.comb += [Assert(~(reads & same_read)), Assert(~(lines & same_line))]
        # Nobody waits without a cause, and each wait is reported.
        same_wide = self.result.valid & (bank(self.wide) == result_bank)
        same_write = (self.result.valid & (bank(self.load_line) == result_bank)) | (
            self.wide_valid & (bank(self.load_line)[:number] == bank(self.wide)[:number])
        )
        line_waits = self.line_valid & ~dut.depthwise_read.ready
        m.d.comb += [
            Assert(dut.load.ready == ~same_write),
            Assert(dut.store.ready == ~same_read),
            Assert(dut.depthwise_write.ready == ~same_wide),
            Assert(dut.depthwise_read.ready == ~same_line),
            Assert(dut.write_conflict == (self.load_valid & ~dut.load.ready)),
            Assert(dut.read_conflict == (self.store_valid & ~dut.store.ready)),
            Assert(
                dut.depthwise_conflict
                == line_waits | (self.wide_valid & ~dut.depthwise_write.ready)
            ),
        ]
        # Each store read that was taken is answered, three cycles later.
        answered = self.store_valid & dut.store.ready
        for n in range(3):
            later = Signal(name=f"answered{n}")
            m.d.sync += later.eq(answered)
            answered = later
        m.d.comb += Assert(dut.store.data_valid == answered)
        m.d.comb += Cover(dut.read_conflict & dut.write_conflict & dut.depthwise_conflict)
        return m


def test_arbiter(tmp_path):
    prove(Harness(), tmp_path, depth=6)


def test_conflicts_are_reached(tmp_path):
    prove(Harness(), tmp_path, mode="cover", depth=4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.store.ready.eq(~clash)", "self.store.ready.eq(1)"),
        ("self.load.ready.eq(~write_clash)", "self.load.ready.eq(1)"),
        ("self.depthwise_read.ready.eq(~line_clash)", "self.depthwise_read.ready.eq(1)"),
        ("wide.ready.eq(~wide_clash)", "wide.ready.eq(1)"),
        ("line_clash |= self.store.valid &", "line_clash |= Const(0) &"),
        ("write_clash |= wide.valid &", "write_clash |= Const(0) &"),
    ],
)
def test_broken_arbiters_are_refuted(old, new, tmp_path):
    harness = Harness(block=mutant(Scratchpad, old, new))
    with pytest.raises(Refuted):
        prove(harness, tmp_path, mode="bmc", depth=5)
