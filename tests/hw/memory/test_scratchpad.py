"""Scratchpad: all four clients at random, and at full rate, against an array of bytes."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from weft_hw.config import PRESETS
from weft_hw.memory.scratchpad import Scratchpad


@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
@pytest.mark.parametrize("seed", range(3))
def test_random_clients(preset, seed):
    cfg = PRESETS[preset]
    rng = random.Random(seed)
    dut = Scratchpad(cfg)
    line, d, beat = cfg.line_bytes, cfg.dma_bytes, cfg.beat_bytes
    size = cfg.scratchpad_bytes
    memory = bytearray(size)
    conflicts = [0, 0]
    pending_array: list[tuple[int, bytes]] = []
    store_expected: list[bytes] = []
    waiting_writes: list[tuple[int, int, bytes]] = []  # (cycle it becomes visible, address, data)
    cycles = 1500

    async def bench(ctx):
        store_address = None
        load = None
        for n in range(cycles):
            for item in [w for w in waiting_writes if w[0] <= n]:
                memory[item[1] : item[1] + len(item[2])] = item[2]
                waiting_writes.remove(item)
            # A read may not race with a write to the same bytes, so reads take the lower half while
            # writes take the upper half, and the halves change places now and then.
            read_low = (n // 100) % 2 == 0
            quiet = n % 100 > 90

            def pick(low, unit, n=n):
                half = size // 2 // unit
                return rng.randrange(half) + (0 if low else half)

            array = rng.random() < 0.7
            ctx.set(dut.array_en, array)
            if array:
                address = pick(read_low, line)
                ctx.set(dut.array_line, address)
                want = bytes(memory[address * line :][:line])
                pending_array.append((n + Scratchpad.LATENCY, want))
            if store_address is None and rng.random() < 0.8 and not quiet:
                store_address = pick(read_low, d)
                ctx.set(dut.store.address, store_address)
            ctx.set(dut.store.valid, store_address is not None)
            result = rng.random() < 0.4 and not quiet
            ctx.set(dut.result.valid, result)
            if result:
                pair = pick(not read_low, 2 * line)
                mask = rng.randint(1, 3)
                data = rng.randbytes(2 * line)
                ctx.set(dut.result.pair, pair)
                ctx.set(dut.result.mask, mask)
                ctx.set(dut.result.data, int.from_bytes(data, "little"))
                for half in range(2):
                    if mask >> half & 1:
                        waiting_writes.append(
                            (n + 2, (2 * pair + half) * line, data[half * line :][:line])
                        )
            if load is None and rng.random() < 0.6 and not quiet:
                beats = rng.randint(1, 2**cfg.axi_ports - 1)
                load = (pick(not read_low, d), beats, rng.randbytes(d))
                ctx.set(dut.load_address, load[0])
                ctx.set(dut.load_mask, load[1])
                ctx.set(dut.load_data, int.from_bytes(load[2], "little"))
            ctx.set(dut.load_valid, load is not None)
            store_ready, load_ready = ctx.get(dut.store.ready), ctx.get(dut.load_ready)
            conflicts[0] += ctx.get(dut.read_conflict)
            conflicts[1] += ctx.get(dut.write_conflict)
            if store_address is not None and store_ready:
                store_expected.append(bytes(memory[store_address * d :][:d]))
                store_address = None
            if load is not None and load_ready:
                for i in range(cfg.axi_ports):
                    if load[1] >> i & 1:
                        waiting_writes.append(
                            (n + 2, load[0] * d + i * beat, load[2][i * beat :][:beat])
                        )
                load = None
            if pending_array and pending_array[0][0] == n:
                _, want = pending_array.pop(0)
                assert ctx.get(dut.array_data).to_bytes(line, "little") == want
            if ctx.get(dut.store.data_valid):
                assert ctx.get(dut.store.data).to_bytes(d, "little") == store_expected.pop(0)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert min(conflicts) > 20, "the clients have to meet for this test to mean anything"


def test_clients_of_different_banks_never_wait():
    cfg = PRESETS["tiny"]
    dut = Scratchpad(cfg)
    per_bank = cfg.scratchpad_bank_bytes // cfg.line_bytes

    async def bench(ctx):
        for client in (dut.array_en, dut.store.valid, dut.result.valid, dut.load_valid):
            ctx.set(client, 1)
        ctx.set(dut.array_line, 0)
        ctx.set(dut.store.address, per_bank)
        ctx.set(dut.result.pair, per_bank)  # pairs: bank 2
        ctx.set(dut.load_address, 3 * per_bank)
        for _ in range(20):
            assert ctx.get(dut.store.ready) and ctx.get(dut.load_ready)
            assert not ctx.get(dut.read_conflict) and not ctx.get(dut.write_conflict)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
