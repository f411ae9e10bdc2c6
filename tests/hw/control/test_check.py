"""The gateware accepts exactly the instructions that the instruction set accepts."""

import random

import pytest

from weft_hw.config import PRESETS
from weft_hw.control.check import Check
from weft_hw.isa import (
    LAYOUTS,
    ErrorCode,
    InstructionError,
    Opcode,
    ResultType,
    check,
    decode,
)

from .helpers import sample_when, simulate, transfer_in

#: Random values tried for each field.
PER_FIELD = 6


def legal_word(rng: random.Random, opcode: Opcode, config) -> int:
    """A random word that satisfies every rule, but perhaps those that depend on the result type."""
    word = int(opcode)
    line = config.line_bytes // 4
    steps = {"act_address": line, "act_jump": line, "result_jump": rng.choice([1, 2]) * line}
    steps |= {"result_address": rng.choice([1, 2]) * line, "dram": 16, "bytes": 16, "chip": 4}
    fixed = {"header_reserved": 0, "transposed": 0, "per_row": 0, "table_enable": 0}
    fixed |= {"opcode": 0, "reduction": 0}
    for f in LAYOUTS[opcode]:
        step = next((s for name, s in steps.items() if f.name.startswith(name)), 1)
        value = rng.randrange(0, 1 << f.width, step)
        if f.name in fixed or (opcode is Opcode.END and f.name.endswith("enable")):
            value = fixed.get(f.name, 0)
        elif f.name == "tile_levels":
            value = rng.randrange(1, 6)
        elif f.name == "space":
            value = rng.randrange(4 if opcode is Opcode.LOAD else 1)
        elif f.name == "table":
            value = rng.randrange(config.tables)
        elif f.name == "result_type":
            value = rng.randrange(3)
        elif f.name == "rows" or f.name.startswith("count"):
            value = max(value, 1)
        elif f.name == "bytes":
            value = max(value, 16)
        word |= value << f.offset
    return word


def words(rng: random.Random, config) -> list[int]:
    """Legal words, words with one field random or at its limits, words with one wrong bit."""
    found = []
    for opcode in Opcode:
        layout = LAYOUTS[opcode]
        found += [legal_word(rng, opcode, config) for _ in range(20)]
        for f in layout:
            ones = (1 << f.width) - 1
            values = [0, 1, ones, 1 << (f.width - 1)]
            for value in values + [rng.randint(0, ones) for _ in range(PER_FIELD)]:
                word = legal_word(rng, opcode, config)
                found.append(word & ~(ones << f.offset) | value << f.offset)
        for _ in range(30):
            found.append(legal_word(rng, opcode, config) ^ 1 << rng.randrange(512))
    found += [rng.randrange(256) for _ in range(20)]
    rng.shuffle(found)
    return found


def verdicts(sequence: list[int], config) -> list[int]:
    """What the instruction set says about each word, with the result type in program order."""
    result_type = ResultType.INT8
    codes = []
    for word in sequence:
        try:
            instruction = decode(word.to_bytes(64, "little"))
            check(instruction, config, result_type)
            codes.append(ErrorCode.NONE)
            if instruction.opcode is Opcode.SETUP:
                result_type = ResultType(instruction["result_type"])
        except InstructionError as error:
            codes.append(error.code)
    return codes


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("name", ["tiny", "tiny-wide", "pynq-z2", "kv260"])
def test_verdicts(name, stall):
    config = PRESETS[name]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    sequence = words(rng, config)
    expected = verdicts(sequence, config)
    dut = Check(config)
    found = []

    async def produce(ctx):
        for i, word in enumerate(sequence):
            payload = {"word": word, "index": i, "code": 0}
            await transfer_in(ctx, dut.i, payload, lambda: rng.random() < stall)

    async def consume(ctx):
        for i, word in enumerate(sequence):
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            (item,) = await sample_when(ctx, dut.o.valid, dut.o.payload)
            ctx.set(dut.o.ready, 0)
            assert (item.word, item.index) == (word, i)
            found.append(item.code)

    simulate(dut, produce, consume)
    wrong = [
        (hex(w), ErrorCode(e), ErrorCode(f)) for w, e, f in zip(sequence, expected, found) if e != f
    ]
    assert not wrong, wrong[:5]
    assert {*expected} == {ErrorCode.NONE, ErrorCode.BAD_OPCODE, ErrorCode.BAD_FIELD}


def test_full_rate():
    """One instruction per 3 cycles, each after LATENCY; the unit is the instruction set's."""
    dut = Check(PRESETS["tiny"])
    rng = random.Random(1)
    sequence = [legal_word(rng, rng.choice(list(Opcode)), PRESETS["tiny"]) for _ in range(40)]

    async def main(ctx):
        ctx.set(dut.o.ready, 1)
        for i, word in enumerate(sequence):
            ctx.set(dut.i.payload, {"word": word, "index": i, "code": 0})
            ctx.set(dut.i.valid, 1)
            for cycle in range(3):
                _, _, ready, valid, item = await ctx.tick().sample(
                    dut.i.ready, dut.o.valid, dut.o.payload
                )
                assert ready == (cycle == 0)
                assert valid == (cycle == Check.LATENCY)
            assert item.index == i
            assert item.unit == decode(word.to_bytes(64, "little")).unit

    simulate(dut, main)


def test_code_of_fetch_passes():
    dut = Check(PRESETS["tiny"])

    async def main(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.payload, {"word": 1, "index": 9, "code": ErrorCode.PROGRAM_END})
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.o.valid)
        assert ctx.get(dut.o.payload.code) == ErrorCode.PROGRAM_END

    simulate(dut, main)
