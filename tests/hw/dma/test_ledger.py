"""The ledger: rows that touch merge, and posts retire in order."""

from __future__ import annotations

import pytest
from amaranth.sim import Simulator

from dma_bench import raw_posts, transfer
from weft_hw.config import PRESETS
from weft_hw.dma.layouts import SLOTS
from weft_hw.dma.ledger import Ledger
from weft_hw.isa import Opcode, encode

CONFIGS = [PRESETS[n] for n in ("pynq-z2", "kv260", "tiny")]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)


@every_config
def test_ledger(config):
    """Rows that touch merge; slots run out; posts retire in order, when every port is done."""
    dut = Ledger(config, Opcode.LOAD)
    beat = config.beat_bytes
    cases = [
        # rows, bytes, dram_pitch, chip_pitch words -> rows, bytes
        ((1, 64, 0, 0), (1, 64)),
        ((5, 64, 64, 16), (1, 320)),
        ((5, 64, 80, 16), (5, 64)),
        ((5, 64, 64, 20), (5, 64)),
        ((65535, 0xFFFFF0, 0xFFFFF0, 0), (65535, 0xFFFFF0)),
        ((4096, 0x100000, 0x100000, 0x40000), (1, 1 << 32)),
        ((4096, 0x200000, 0x200000, 0x80000), (1, 1 << 32)),
        ((16, 48, 48, 12), (1, 768)),
    ]
    work = [
        transfer(
            Opcode.LOAD,
            posts=(i, 15 - i),
            space=2,
            dram_offset=4096 * i,
            chip_address=16 * i,
            rows=rows,
            bytes=size,
            dram_pitch=pitch,
            chip_pitch=chip_pitch,
        )
        for i, ((rows, size, pitch, chip_pitch), _) in enumerate(cases)
    ]

    async def testbench(ctx):
        ctx.set(dut.transfer.ready, 1)
        for i, instruction in enumerate(work):
            ctx.set(dut.start.payload.word, int.from_bytes(encode(instruction), "little"))
            ctx.set(dut.start.payload.index, 1000 + i)
            ctx.set(dut.start.valid, 1)
            await ctx.tick().until(dut.start.ready)
            ctx.set(dut.start.valid, 0)
            got = None
            while got is None:
                _, _, valid, payload = await ctx.tick().sample(
                    dut.transfer.valid, dut.transfer.payload
                )
                got = payload if valid else None
            rows, size = cases[i][1]
            assert (got.rows, got.length * beat) == (rows, size)
            assert (got.offset * beat, got.chip * beat) == (4096 * i, 64 * i)
            assert (got.space, got.tag) == (2, i)
        assert len(work) == SLOTS and not ctx.get(dut.start.ready)
        for i, instruction in enumerate(work):
            ctx.set(dut.tag, i)
            assert ctx.get(dut.index) == 1000 + i
            for port in range(config.axi_ports):
                assert not ctx.get(dut.retire.valid)
                ctx.set(dut.done, 1 << port)
                await ctx.tick()
            ctx.set(dut.done, 0)
            assert ctx.get(dut.retire.valid)
            assert ctx.get(dut.retire.posts) == raw_posts(instruction)
            await ctx.tick()
        assert not ctx.get(dut.busy) and ctx.get(dut.start.ready)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(testbench)
    sim.run()
