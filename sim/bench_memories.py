"""Weight buffer, parameter memory and tables against arrays of bytes."""

from __future__ import annotations

import random
from collections import defaultdict

import cocotb

from runner import parameters
from streams import Lockstep, Pauses
from weft_hw.config import PARAMETER_BYTES, PRESETS
from weft_hw.memory.parameters import ParameterMemory
from weft_hw.memory.table import TableMemory
from weft_hw.memory.weight_buffer import WeightBuffer
from weft_hw.numerics import TABLE_SIZE

CONFIG = PRESETS[parameters()["preset"]]
D, BEAT, PORTS = CONFIG.dma_bytes, CONFIG.beat_bytes, CONFIG.axi_ports
CYCLES = 600


class Model:
    """Bytes of a memory that is written D bytes a cycle, by beats; `written` is the last cycle of
    a write to each beat."""

    def __init__(self, size: int):
        self.bytes = bytearray(size)
        self.written: dict[int, int] = {}

    def write(self, cycle: int, address: int, mask: int, data: bytes):
        for beat in range(PORTS):
            if mask >> beat & 1:
                at = address * D + beat * BEAT
                self.bytes[at : at + BEAT] = data[beat * BEAT :][:BEAT]
                self.written[at // BEAT] = cycle

    def racing(self, cycle: int, first: int, size: int) -> bool:
        """A write of this cycle touches these bytes: which value is read is not defined."""
        beats = range(first // BEAT, (first + size - 1) // BEAT + 1)
        return any(self.written.get(beat) == cycle for beat in beats)


async def fill(bench, prefix: str, model: Model):
    """Write every byte."""
    bench.set(f"{prefix}__write_en", 1)
    for address in range(len(model.bytes) // D):
        write_random(bench, prefix, model, address, (1 << PORTS) - 1)
        await bench.step()
    bench.set(f"{prefix}__write_en", 0)


def write_random(bench, prefix: str, model: Model, address: int, mask: int):
    data = random.randbytes(D)
    bench.set(f"{prefix}__write_address", address)
    bench.set(f"{prefix}__write_mask", mask)
    bench.set(f"{prefix}__write_data", int.from_bytes(data, "little"))
    model.write(bench.cycle, address, mask, data)


async def begin(dut) -> Lockstep:
    idle = {f"{name}__write_en": 0 for name in ("weights", "parameters")}
    return await Lockstep(dut).begin(**idle, loader__write__valid=0, table__en=0)


async def read_and_write(bench, prefix, model, size, words, parts):
    """Reads of random words, and writes of random beats, at once, with and without pauses.

    `parts` lists (bytes of the word, cycles after the read) in which they come out.
    """
    await fill(bench, prefix, model)
    stall = parameters()["stall"]
    pause_read, pause_write = Pauses(stall), Pauses(stall)
    due = defaultdict(list)
    compared = 0
    for _ in range(CYCLES):
        now = bench.cycle
        reads, writes = not pause_read, not pause_write
        bench.set(f"{prefix}__read_en", reads)
        bench.set(f"{prefix}__write_en", writes)
        before = bytes(model.bytes)
        if writes:
            address = random.randrange(len(model.bytes) // D)
            write_random(bench, prefix, model, address, random.randrange(1 << PORTS))
        if reads:
            word = random.randrange(words)
            bench.set(f"{prefix}__read_address", word)
            if not model.racing(now, word * size, size):
                for part, latency in parts:
                    at = word * size + part.start
                    due[now + latency].append((part, before[at : at + len(part)], word, now))
        await bench.settle()
        data = bench.get(f"{prefix}__read_data").to_bytes(size, "little") if due[now] else b""
        for part, want, word, since in due.pop(now):
            # The part of a later segment is read later, and so sees later writes.
            got = data[part.start : part.stop]
            beats = range(part.start, part.stop, BEAT)
            fresh = any(model.written.get((word * size + b) // BEAT, -1) > since for b in beats)
            assert fresh or got == want, f"{prefix} word {word}, cycle {now}"
            compared += not fresh
        await bench.edge()
    return compared


@cocotb.test()
async def weights(dut):
    """A word a cycle; segment g comes g*R/L cycles after segment 0."""
    bench = await begin(dut)
    size, cols = CONFIG.weight_word_bytes, CONFIG.cols
    parts = [
        (range(g * cols, (g + 1) * cols), WeightBuffer.LATENCY + g * CONFIG.tile_words)
        for g in range(CONFIG.weight_rows_per_cycle)
    ]
    model = Model(CONFIG.weight_buffer_bytes)
    compared = await read_and_write(bench, "weights", model, size, CONFIG.weight_words, parts)
    assert compared > CYCLES // 4


@cocotb.test()
async def entries(dut):
    """A pair of parameter entries a cycle."""
    bench = await begin(dut)
    size = 2 * PARAMETER_BYTES
    parts = [(range(size), ParameterMemory.LATENCY)]
    model, pairs = Model(CONFIG.parameter_bytes), CONFIG.parameter_entries // 2
    compared = await read_and_write(bench, "parameters", model, size, pairs, parts)
    assert compared > CYCLES // 4


@cocotb.test()
async def tables(dut):
    """D bytes are loaded in D cycles, masked beats are left alone; two look-ups a cycle."""
    bench = await begin(dut)
    stall = parameters()["stall"]
    pauses, size = Pauses(stall), CONFIG.tables * TABLE_SIZE
    model, order = Model(size), list(range(size // D)) * 2
    random.shuffle(order)
    full = (1 << PORTS) - 1
    for n, address in enumerate([*range(size // D), *order[: size // D]]):
        while pauses:
            bench.set("loader__write__valid", 0)
            await bench.step()
        mask, data = full if n < size // D else random.randrange(1 << PORTS), random.randbytes(D)
        bench.set("loader__write__valid", 1)
        bench.set("loader__write__address", address)
        bench.set("loader__write__mask", mask)
        bench.set("loader__write__data", int.from_bytes(data, "little"))
        began = bench.cycle
        await bench.until(lambda: bench.get("loader__write__ready"))
        assert bench.cycle - began == D
        model.write(began, address, mask, data)
    bench.set("loader__write__valid", 0)
    # The last byte is on its way to the memory.
    await bench.step(2)
    addresses: list[list[int]] = []
    for _ in range(2 * size):
        pair = [random.randrange(size) for _ in range(2)]
        enabled = not pauses
        bench.set("table__en", enabled)
        bits = (size - 1).bit_length()
        bench.set("table__address", pair[0] | pair[1] << bits)
        await bench.settle()
        if enabled and len(addresses) >= TableMemory.LATENCY:
            want = [model.bytes[a] for a in addresses[-TableMemory.LATENCY]]
            got = bench.get("table__data")
            assert [got & 0xFF, got >> 8] == want
        if enabled:
            addresses.append(pair)
        await bench.edge()
