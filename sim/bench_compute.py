"""Drives the compute unit: memories in, instructions, memory image out."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from runner import parameters, start


class Watch:
    """Cycles of rows and retirements, and the lines that reads bring back."""

    def __init__(self, dut):
        self.dut = dut
        self.cycle = 0
        self.rows: list[int] = []
        self.retired: list[int] = []
        self.lines: list[int] = []

    async def run(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            await ReadOnly()
            if dut.row.value == 1:
                self.rows.append(self.cycle)
            if dut.retired.value == 1:
                self.retired.append(self.cycle)
            if dut.read_valid.value == 1:
                self.lines.append(int(dut.read_data.value))
            assert dut.failed.value == 0, "the unit reported an error"


async def handshake(dut, ready):
    """Wait for a cycle in which `ready` is high; the caller has set its valid."""
    while True:
        await ReadOnly()
        taken = ready.value == 1
        await RisingEdge(dut.clk)
        if taken:
            return


@cocotb.test()
async def programs(dut):
    p = parameters()
    case, d, gap = np.load(p["case"]), p["dma_bytes"], p["gap"]
    for name in ("start", "write", "read"):
        getattr(dut, name).value = 0
    await start(dut)
    watch = Watch(dut)
    cocotb.start_soon(watch.run())

    for space in range(4):
        raw = case[f"m{space}"].tobytes()
        dut.space.value = space
        dut.write.value = 1
        for n in range(len(raw) // d):
            dut.address.value = n
            dut.data.value = int.from_bytes(raw[n * d :][:d], "little")
            await handshake(dut, dut.written)
        dut.write.value = 0
    raw = case["program"].tobytes()
    words = [raw[i : i + 64] for i in range(0, len(raw), 64)]
    for word in words:
        for _ in range(random.randint(0, gap)):
            await RisingEdge(dut.clk)
        dut.word.value = int.from_bytes(word, "little")
        dut.start.value = 1
        await handshake(dut, dut.ready)
        dut.start.value = 0
    while len(watch.retired) < len(words):
        await RisingEdge(dut.clk)

    # The claimed throughput: a tile every max(M, R/L) cycles, and the latency to retirement. SETUPs
    # between the jobs let the pipeline run empty, so each job starts afresh.
    at = 0
    for m, periods in zip(case["rows"], case["periods"], strict=True):
        rows = watch.rows[at : at + m * (len(periods) + 1)]
        starts = rows[::m]
        assert list(np.diff(starts)) == list(periods), (int(m), np.diff(starts))
        at += len(rows)
    assert watch.retired[-1] - watch.rows[-1] == int(case["latency"])

    count = len(case["expected"]) // d
    dut.read.value = 1
    for n in range(count):
        dut.read_address.value = n
        await handshake(dut, dut.read_ready)
    dut.read.value = 0
    while len(watch.lines) < count:
        await RisingEdge(dut.clk)
    image = b"".join(line.to_bytes(d, "little") for line in watch.lines)
    wrong = np.flatnonzero(np.frombuffer(image, np.uint8) != case["expected"])
    assert not len(wrong), f"{len(wrong)} bytes differ, the first at {wrong[0]}"
