"""The gateware accepts exactly the instructions that the instruction set accepts."""

import random

import pytest

from control_bench import sample_when, simulate, transfer_in
from instruction_words import legal_word, verdicts, words
from weft_hw.config import PRESETS
from weft_hw.control.check import Check
from weft_hw.isa import ErrorCode, Opcode, decode


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
