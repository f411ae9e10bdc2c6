"""Transfers, how long they take, and what they leave."""

from __future__ import annotations

import pytest

from dma_bench import rows_of, transfer
from weft_hw.config import PRESETS
from weft_hw.isa import Space

__all__ = ["check_load", "check_store", "every_config", "one", "run_one", "two_configs"]

CONFIGS = [PRESETS[n] for n in ("pynq-z2", "kv260", "tiny", "tiny-wide")]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
#: Where the number of ports matters less: one port of 64 bits, and four of 128.
two_configs = pytest.mark.parametrize("config", CONFIGS[1:3], ids=lambda c: c.name)


def one(opcode, size, *, rows=1, offset=0, chip=0, space=Space.SCRATCHPAD, **fields):
    """A contiguous transfer of `rows` * `size` bytes, unless `fields` say otherwise."""
    return transfer(
        opcode,
        **{
            "space": int(space),
            "dram_offset": offset,
            "dram_pitch": size,
            "rows": rows,
            "bytes": size,
            "chip_address": chip // 4,
            "chip_pitch": size // 4,
            **fields,
        },
    )


def run_one(bench, *instructions):
    """Start `instructions` at once; cycles from the first start to the last retirement."""
    begin = []

    def issue(op):
        async def testbench(ctx):
            begin.append(bench.cycle)
            for index, instruction in enumerate(instructions):
                if instruction.opcode is op:
                    await bench.start(ctx, instruction, index)
            await bench.until(ctx, lambda: len(bench.retired) == len(instructions))

        return testbench

    bench.run(*(issue(op) for op in {i.opcode: None for i in instructions}))
    return bench.retired[-1][2] - min(begin)


def check_load(bench, instruction):
    for source, target, size in rows_of(instruction):
        got = bench.chip[Space(instruction["space"])][target : target + size]
        assert got == bench.arena(source, source + size), instruction


def check_store(bench, instruction):
    for target, source, size in rows_of(instruction):
        want = bench.chip[Space.SCRATCHPAD][source : source + size]
        assert bench.arena(target, target + size) == want, instruction
