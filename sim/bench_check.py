"""Field checks: random words, each rule broken alone, and a word every cycle."""

from __future__ import annotations

import random

import cocotb

from instruction_words import legal_word, verdicts, words
from runner import parameters
from streams import Lockstep
from weft_hw.config import PRESETS
from weft_hw.control.check import Check, checked_layout
from weft_hw.control.fetch import FetchedLayout
from weft_hw.isa import (
    LAYOUTS,
    LOOP_LEVELS,
    TAP_DELAY_MAX,
    ErrorCode,
    Opcode,
    ResultType,
    decode,
)

CONFIG = PRESETS[parameters()["preset"]]
#: Bits of an opcode.
OPCODE_MASK = 0xFF
LINE_WORDS = CONFIG.line_bytes // 4


def put(word: int, name: str, value: int) -> int:
    """`word` with another value in a field of its opcode."""
    f = LAYOUTS[Opcode(word & OPCODE_MASK)][name]
    return word & ~(((1 << f.width) - 1) << f.offset) | value << f.offset


def take(word: int, name: str) -> int:
    """Value of a field of the word's opcode."""
    f = LAYOUTS[Opcode(word & OPCODE_MASK)][name]
    return word >> f.offset & ((1 << f.width) - 1)


def broken():
    """(what, words) for every rule: legal words but for one field of the last one."""

    def legal(opcode, **fields):
        word = legal_word(random, opcode, CONFIG)
        # Addresses and jumps of results that every result type allows.
        for f in LAYOUTS[opcode]:
            if f.name.startswith("result_") and f.width == 20:
                word = put(word, f.name, take(word, f.name) & -2 * LINE_WORDS)
        for name, value in fields.items():
            word = put(word, name, value)
        assert verdicts([word], CONFIG) == [ErrorCode.NONE]
        return word

    def one_more(word, name):
        """The field is a multiple of something, so one more is not."""
        return [put(word, name, take(word, name) + 1)]

    for opcode in Opcode:
        yield f"{opcode.name} reserved", [put(legal(opcode), "header_reserved", 1 << 6)]
        used = LAYOUTS[opcode].used_bits
        for bit in (used, 511):
            yield f"{opcode.name} bit {bit}", [legal(opcode) | 1 << bit]
    for name in ("wait0", "wait1", "wait2", "post0", "post1"):
        yield f"END {name}", [put(legal(Opcode.END), f"{name}_enable", 1)]
    for opcode, spaces in ((Opcode.LOAD, range(5, 8)), (Opcode.STORE, range(1, 8))):
        for space in spaces:
            yield f"{opcode.name} space {space}", [put(legal(opcode), "space", space)]
        for name in ("rows", "bytes"):
            yield f"{opcode.name} {name}", [put(legal(opcode), name, 0)]
        for name in ("dram_offset", "dram_pitch", "bytes"):
            word = legal(opcode)
            for bit in range(4):
                value = take(word, name) | 1 << bit
                yield f"{opcode.name} {name} bit {bit}", [put(word, name, value)]
        for name in ("chip_address", "chip_pitch"):
            yield f"{opcode.name} {name}", one_more(legal(opcode), name)
    for level in range(LOOP_LEVELS):
        yield f"SETUP result_jump{level}", one_more(legal(Opcode.SETUP), f"result_jump{level}")
        yield f"MATMUL count{level}", [put(legal(Opcode.MATMUL), f"count{level}", 0)]
    yield "SETUP result_type", [put(legal(Opcode.SETUP), "result_type", 3)]
    yield "SETUP per_row", [put(legal(Opcode.SETUP), "per_row", 1)]
    for table in range(CONFIG.tables, 16):
        yield f"SETUP table {table}", [put(legal(Opcode.SETUP), "table", table)]
    for kind in (ResultType.INT16, ResultType.INT32):
        word = legal(Opcode.SETUP, result_type=int(kind))
        for level in range(LOOP_LEVELS):
            word = put(word, f"result_jump{level}", 0)
        yield f"SETUP table with {kind.name}", [put(word, "table_enable", 1)]
        # A single line is enough for int8 only where a row of results is one line.
        setup = put(word, "table_enable", 0)
        matmul = put(legal(Opcode.MATMUL), "result_address", 5 * LINE_WORDS)
        yield f"MATMUL address, {kind.name}", [setup, matmul]
    for levels in (0, 6, 7):
        yield f"MATMUL tile_levels {levels}", [put(legal(Opcode.MATMUL), "tile_levels", levels)]
    for levels in range(1, LOOP_LEVELS):
        word = legal(Opcode.MATMUL, tile_levels=levels)
        yield f"MATMUL reduction {levels}", [put(word, "reduction", 1 << (levels - 1))]
    for level in range(LOOP_LEVELS):
        yield f"DEPTHWISE count{level}", [put(legal(Opcode.DEPTHWISE), f"count{level}", 0)]
    for name in ("delay1", "delay2"):
        for value in (0, TAP_DELAY_MAX + 1, 63):
            yield f"DEPTHWISE {name} {value}", [put(legal(Opcode.DEPTHWISE), name, value)]
    yield "DEPTHWISE skip", [put(legal(Opcode.DEPTHWISE, count2=9), "skip", 9)]
    for table in range(CONFIG.tables, 16):
        yield f"DEPTHWISE table {table}", [put(legal(Opcode.DEPTHWISE), "table", table)]
    for f in LAYOUTS[Opcode.DEPTHWISE]:
        if f.name.startswith(("act_", "result_")):
            yield f"DEPTHWISE {f.name}", one_more(legal(Opcode.DEPTHWISE), f.name)
    yield "MATMUL transposed", [put(legal(Opcode.MATMUL), "transposed", 1)]
    yield "MATMUL result_address", one_more(legal(Opcode.MATMUL), "result_address")


async def run(dut, sequence, code=0):
    """Send words; returns bench, source and sink when all are out."""
    stall = parameters()["stall"]
    bench = Lockstep(dut)
    source = bench.source("i", FetchedLayout, stall)
    sink = bench.sink("o", checked_layout(), stall)
    await bench.begin()
    source.queue.extend({"word": word, "index": i, "code": code} for i, word in enumerate(sequence))
    await bench.until(lambda: len(sink.got) == len(sequence))
    assert [(item.word, item.index) for _, item in sink.got] == [
        (word, i) for i, word in enumerate(sequence)
    ]
    return bench, source, sink


@cocotb.test()
async def random_words(dut):
    """The verdict of the instruction set on each, with the result type of the SETUPs before it."""
    sequence = words(random, CONFIG)
    _, source, sink = await run(dut, sequence)
    for (_, item), word, code in zip(sink.got, sequence, verdicts(sequence, CONFIG)):
        assert item.code == code, (hex(word), ErrorCode(item.code), code)
        if code == ErrorCode.NONE:
            assert item.unit == decode(word.to_bytes(64, "little")).unit
    if not parameters()["stall"]:
        assert sink.offered == [cycle + Check.LATENCY for cycle in source.sent]
        first, pace = source.sent[0], Check.PERIOD
        assert source.sent == list(range(first, first + pace * len(sequence), pace))


@cocotb.test()
async def broken_rules(dut):
    """Each rule broken alone gives BAD_FIELD, and a legal word passes before and after it."""
    names, sequence, expected = [], [], []
    reset_type = put(legal_word(random, Opcode.SETUP, CONFIG), "result_type", ResultType.INT8)
    for level in range(LOOP_LEVELS):
        reset_type = put(reset_type, f"result_jump{level}", 0)
    for what, group in broken():
        group = [reset_type, *group]
        names += [what] * len(group)
        sequence += group
        expected += [ErrorCode.NONE] * (len(group) - 1) + [ErrorCode.BAD_FIELD]
    # The contract says the same: otherwise the list above is wrong, not the block.
    for what, want, code in zip(names, expected, verdicts(sequence, CONFIG)):
        assert want == code, what
    _, _, sink = await run(dut, sequence)
    for what, want, (_, item) in zip(names, expected, sink.got):
        assert item.code == want, f"{what}: {ErrorCode(item.code).name}"


@cocotb.test()
async def opcodes(dut):
    """Every value of the opcode byte: BAD_OPCODE but for those that are defined."""
    sequence = [opcode for opcode in range(256) if opcode not in list(Opcode)]
    _, _, sink = await run(dut, sequence)
    assert {item.code for _, item in sink.got} == {ErrorCode.BAD_OPCODE}


@cocotb.test()
async def codes_of_fetch(dut):
    """A code that came with an item stays, whatever its word is."""
    for code in (ErrorCode.PROGRAM_END, ErrorCode.ARENA):
        _, _, sink = await run(dut, [0, int(Opcode.END), (1 << 512) - 1], code)
        assert [item.code for _, item in sink.got] == [code] * 3
