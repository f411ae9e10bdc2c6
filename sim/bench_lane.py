"""A pair of result lanes: accumulate, requantise, look up, row after row, in Python integers."""

from __future__ import annotations

import random
from collections import defaultdict

import cocotb

from runner import parameters
from streams import Lockstep, Pauses, bits
from weft_hw.compute.accumulator import Accumulator, AccumulatorControl
from weft_hw.compute.array import psum_bits
from weft_hw.compute.lane import LanePair, ModeLayout
from weft_hw.config import ACCUMULATOR_LATENCY, PRESETS
from weft_hw.isa import ResultType
from weft_hw.memory.parameters import EntryLayout
from weft_hw.numerics import (
    ACC_MAX,
    ACC_MIN,
    MULTIPLIER_MAX,
    PRE_MAX,
    RESIDUAL_SHIFT,
    SAT_BITS,
    SHIFT_MAX,
    TABLE_SIZE,
)

CONFIG = PRESETS[parameters()["preset"]]
ROWS = 250
PSUM_BITS = psum_bits(CONFIG)
#: Cycles from a row's control to its psum.
LEAD = Accumulator.LATENCY - LanePair.RAW_LATENCY


def edge(low: int, high: int) -> int:
    """A value of a range: an end of it, near zero, or anything."""
    span = random.choice((0, 0, 3, 12, 20, 40))
    middle = random.randint(-(1 << span), 1 << span)
    return random.choice((low, high, max(low, min(high, middle)), random.randint(low, high)))


def wrapped(value: int) -> int:
    """int32 with overflow."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def larger(a: int, b: int) -> int:
    """The larger of the low bytes, as signed numbers."""
    return max((x + 128) % 256 - 128 for x in (a, b))


def requantised(acc: int, entry: dict[str, int], setup: dict[str, int], added: int = 0) -> int:
    """As the instruction set says; `added` is a residual without its zero point, scaled."""
    limit = 1 << SAT_BITS - 1
    value = max(-limit, min(limit - 1, acc >> setup["pre"]))
    rounding = 1 << entry["shift"] - 1 if entry["shift"] else 0
    value = value * entry["multiplier"] + added + rounding
    value = setup["zero_point"] + (value >> entry["shift"])
    return min(max(value, setup["low"]), setup["high"])


def random_entry() -> dict[str, int]:
    return {
        "bias": edge(ACC_MIN, ACC_MAX),
        "multiplier": edge(0, MULTIPLIER_MAX),
        "shift": random.choice((0, 1, SHIFT_MAX, random.randint(0, SHIFT_MAX))),
        "reserved": random.getrandbits(9),
    }


class Stimulus:
    """Inputs and expected results by cycle of the row's psum, shared by both lanes."""

    def __init__(
        self,
        kind: ResultType,
        table: int | None,
        tables: bytes,
        stall: float,
        residual: int = 0,
        maximum: int = 0,
    ):
        bounds = 7 if kind is ResultType.INT8 else 15
        self.mode = {
            "raw": kind is ResultType.INT32,
            "table_enable": table is not None,
            "table": table or 0,
            "maximum": maximum,
            "residual": residual,
            "residual_zero_point": edge(-128, 127),
            "setup": {
                "residual_multiplier": edge(0, MULTIPLIER_MAX),
                "pre": random.randint(0, PRE_MAX),
                "zero_point": edge(-(1 << bounds), (1 << bounds) - 1),
                "low": -(1 << bounds),
                "high": (1 << bounds) - 1,
            },
        }
        self.control, self.psum, self.entry, self.residual = {}, {}, {}, {}
        self.want: dict[int, dict[int, int]] = defaultdict(dict)
        self.tables, self.pauses = tables, Pauses(stall)
        self.leaves: set[int] = set()
        self._rows(kind)

    def _rows(self, kind):
        period = CONFIG.row_cycles(kind.bytes)
        cycle, next_entry = LEAD + 2, 0
        stored: dict[int, list[int]] = {}
        used: dict[int, int] = {}
        entries: list[dict[str, int]] = []
        for _ in range(ROWS):
            while self.pauses:
                cycle += 1
            if cycle >= next_entry:
                entries = [random_entry(), random_entry()]
                self.entry[cycle - 1] = entries
                next_entry = cycle + CONFIG.cols // 2 + random.randrange(8)
            latest = cycle - ACCUMULATOR_LATENCY
            free = [a for a in range(12) if used.get(a, latest) <= latest]
            address = random.choice(free)
            first = address not in stored or random.random() < 0.3
            last = random.random() < 0.4
            if self.mode["residual"] and last:
                # It takes the lane in the cycle before, in which no row leaves.
                last = cycle - 1 not in self.leaves
            half = 1 << PSUM_BITS - 1
            psum = [edge(-half, half - 1) for _ in range(2)]
            self.control[cycle - LEAD] = {
                "valid": 1, "first": first, "last": last, "address": address,
            }  # fmt: skip
            self.psum[cycle] = psum
            base = [e["bias"] for e in entries] if first else stored[address]
            sums = [larger(b, s) if self.mode["maximum"] else wrapped(b + s)
                    for b, s in zip(base, psum)]
            used[address] = cycle
            if last:
                self.leaves.add(cycle)
                added = [0, 0]
                if self.mode["residual"]:
                    found = self.residual[cycle - 1] = [edge(-128, 127) for _ in range(2)]
                    scale = self.mode["setup"]["residual_multiplier"] << RESIDUAL_SHIFT
                    added = [(r - self.mode["residual_zero_point"]) * scale for r in found]
                # What was stored stays: a later row may go on from it.
                for lane, (value, entry) in enumerate(zip(sums, entries)):
                    self._expect(cycle, lane, value, entry, added[lane])
            else:
                stored[address] = sums
            cycle += period
        self.end = cycle + LanePair.LATENCY + 2

    def _expect(self, cycle, lane, value, entry, added):
        if self.mode["raw"]:
            at = cycle + LanePair.RAW_LATENCY
            self.want[at][lane] = value & 0xFFFF
            self.want[at + 1][lane] = value >> 16 & 0xFFFF
            return
        result = requantised(value, entry, self.mode["setup"], added)
        if self.mode["table_enable"]:
            at = self.mode["table"] * TABLE_SIZE + result % TABLE_SIZE
            result = int.from_bytes(self.tables[at : at + 1], "little", signed=True)
        self.want[cycle + LanePair.LATENCY][lane] = result & 0xFFFF


async def fill_tables(bench: Lockstep) -> bytes:
    """Write a random byte to every entry of every table."""
    tables = random.randbytes(CONFIG.tables * TABLE_SIZE)
    bench.set("table_write_en", 1)
    for address, value in enumerate(tables):
        bench.set("table_write_address", address)
        bench.set("table_write_data", value)
        await bench.step()
    bench.set("table_write_en", 0)
    return tables


async def compare(bench: Lockstep, s: Stimulus) -> int:
    """Run a stimulus; returns how many results were compared."""
    compared = 0
    control_layout, garbage = AccumulatorControl(CONFIG), random_entry()
    bench.set("mode", bits(ModeLayout, s.mode))
    for now in range(s.end):
        address = random.randrange(CONFIG.accumulator_rows)
        idle = {"valid": 0, "first": 1, "last": 1, "address": address}
        bench.set("control", bits(control_layout, s.control.get(now, idle)))
        low, high = (v & ((1 << PSUM_BITS) - 1) for v in s.psum.get(now, [0, 0]))
        bench.set("psum", low | high << PSUM_BITS)
        entries = s.entry.get(now, [garbage, garbage])
        bench.set("residual_en", now in s.residual)
        low, high = (v & 0xFF for v in s.residual.get(now, [garbage["bias"], garbage["shift"]]))
        bench.set("residual", low | high << 8)
        bench.set("entry_en", now in s.entry)
        bench.set("entry", sum(bits(EntryLayout, e) << 64 * j for j, e in enumerate(entries)))
        await bench.settle()
        for lane, want in s.want[now].items():
            got = bench.get("result") >> 16 * lane & 0xFFFF
            assert got == want, f"cycle {now}, lane {lane}: {got:#06x}, not {want:#06x}"
            compared += 1
        await bench.edge()
    return compared


@cocotb.test()
async def rows(dut):
    """Every kind of result, a row as often as allowed or with random pauses between."""
    bench = await Lockstep(dut).begin(table_write_en=0, control=0, entry_en=0, residual_en=0)
    tables = await fill_tables(bench)
    stall = parameters()["stall"]
    for kind, table, residual, maximum in (
        (ResultType.INT8, None, 0, 0),
        (ResultType.INT8, 0, 1, 0),
        (ResultType.INT8, CONFIG.tables - 1, 0, 1),
        (ResultType.INT8, None, 1, 1),
        (ResultType.INT16, None, 0, 1),
        (ResultType.INT32, None, 0, 0),
        (ResultType.INT8, None, 1, 0),
        (ResultType.INT32, None, 0, 1),
        (ResultType.INT16, None, 0, 0),
    ):
        stimulus = Stimulus(kind, table, tables, stall, residual, maximum)
        assert await compare(bench, stimulus) > ROWS // (2 + residual)
