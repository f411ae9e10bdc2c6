"""The result writer: skewed lanes in, lines of the scratchpad out, at the claimed cycles."""

from __future__ import annotations

import random
from collections import defaultdict

import cocotb

from runner import parameters
from streams import Lockstep, Pauses, bits, members
from weft_hw.compute.result import ResultControl
from weft_hw.config import PRESETS
from weft_hw.isa import ResultType
from weft_hw.memory.scratchpad import ResultWrite

CONFIG = PRESETS[parameters()["preset"]]
LANE_BITS = 16
ROWS = 60


def row_lines(kind: ResultType, values: list[int]) -> list[bytes]:
    """The lines of a row of results."""
    raw = b"".join(v.to_bytes(kind.bytes, "little", signed=True) for v in values)
    return [raw[i : i + CONFIG.line_bytes] for i in range(0, len(raw), CONFIG.line_bytes)]


class Stimulus:
    """What goes in and what has to come out, by cycle."""

    def __init__(self):
        self.lanes = defaultdict(dict)
        self.control = {}
        self.writes = defaultdict(list)
        self.end = 0

    def add_row(self, cycle, kind, line):
        """A row of random values whose pair 0 comes in `cycle`."""
        limit = 1 << 8 * kind.bytes - 1
        values = [
            random.choice((-limit, limit - 1, random.randrange(-limit, limit)))
            for _ in range(CONFIG.cols)
        ]
        self.control[cycle] = {"valid": 1, "line": line}
        for c, value in enumerate(values):
            # An int8 lane may hold anything above its byte.
            halves = [value]
            if kind is ResultType.INT8:
                halves = [value & 0xFF | random.getrandbits(8) << 8]
            elif kind is ResultType.INT32:
                halves = [value, value >> LANE_BITS]
            for later, half in enumerate(halves):
                self.lanes[cycle + c // 2 + later][c] = half & ((1 << LANE_BITS) - 1)
        first = cycle + parameters()["latency"] + (kind is ResultType.INT32)
        lines = row_lines(kind, values)
        for n, data in enumerate(lines):
            at = first if len(lines) == 1 else first + n // 2
            self.writes[at].append((line + n, data))
            self.end = max(self.end, at)


@cocotb.test()
async def rows(dut):
    """Rows of every type, as close as allowed, and with random pauses between them."""
    bench = await Lockstep(dut).begin()
    layout, last = ResultWrite(CONFIG), CONFIG.scratchpad_bytes // CONFIG.line_bytes
    for kind in ResultType:
        pauses, stimulus, cycle = Pauses(parameters()["stall"]), Stimulus(), 0
        lines = kind.bytes * CONFIG.cols // CONFIG.line_bytes
        for _ in range(ROWS):
            while pauses:
                cycle += 1
            line = random.randrange(last - lines)
            stimulus.add_row(cycle, kind, line if lines == 1 else line & ~1)
            cycle += CONFIG.row_cycles(kind.bytes)
        await bench.reset(result_type=kind)
        for now in range(stimulus.end + 4):
            lanes = random.getrandbits(LANE_BITS * CONFIG.cols)
            for c, value in stimulus.lanes[now].items():
                lanes &= ~(((1 << LANE_BITS) - 1) << LANE_BITS * c)
                lanes |= value << LANE_BITS * c
            bench.set("lanes", lanes)
            control = stimulus.control.get(now, {"valid": 0, "line": random.randrange(last)})
            bench.set("control", bits(ResultControl(CONFIG), control))
            await bench.settle()
            got, write = [], members(layout, bench.get("write"))
            if write.valid:
                data = write.data.to_bytes(2 * CONFIG.line_bytes, "little")
                for half in range(2):
                    if write.mask >> half & 1:
                        part = data[half * CONFIG.line_bytes :][: CONFIG.line_bytes]
                        got.append((2 * write.pair + half, part))
            assert got == stimulus.writes[now], f"{kind.name}, cycle {now}"
            await bench.edge()
