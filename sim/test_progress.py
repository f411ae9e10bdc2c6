"""What counts as progress: whatever moves keeps the watchdog off, however slowly it moves.

A run of one kind of work alone, on a memory that takes far longer for all of it than the watchdog
allows without progress. And the other side: where nothing moves, the limit is what it says. That an
instruction was dispatched counts as well; it follows a fetched beat, or a start, within cycles.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from weft.backend.rtl.backend import RtlBackend
from weft.dram import memory_of
from weft.errors import DeviceError
from weft_hw.config import PRESETS
from weft_hw.isa import INSTRUCTION_BYTES, ErrorCode, Instruction, Opcode, encode_program

pytestmark = pytest.mark.sim

#: Cycles between beats of the memory; the limit is a few of these gaps, a run some hundred.
GAP, LIMIT = 50, 220
END = Instruction(Opcode.END)
ARENA = 1 << 16


@pytest.fixture(scope="module", params=["tiny", "tiny-wide", "pynq-z2"])
def backend(request):
    config = PRESETS[request.param]
    rate = config.beat_bytes / GAP
    slow = dataclasses.replace(
        memory_of(config), name="slow", deliverable_bytes_per_cycle=rate, read_latency=20,
        write_latency=20,
    )  # fmt: skip
    with RtlBackend(config, slow, timeout_cycles=400_000) as rtl:
        yield rtl


def run(backend, instructions, limit) -> dict[str, int]:
    """Counters after the program; raises DeviceError where it stops."""
    backend.unload()
    backend.transport.allocate(ARENA)
    raw = encode_program([*instructions, END])
    backend.transport.arena[: len(raw)] = np.frombuffer(raw, np.uint8)
    backend.device.watchdog_cycles = limit
    backend.device.configure(ARENA, 0, len(raw) // INSTRUCTION_BYTES)
    backend.device.run(backend.timeout_cycles)
    return backend.device.counters()


def moved(number: int, opcode: Opcode) -> list[Instruction]:
    """One instruction that moves `number` beats of 16 bytes at most."""
    return [Instruction(opcode, fields={"rows": 1, "bytes": 16 * number, "dram_offset": 32768})]


def rows(tiles: int) -> list[Instruction]:
    """One product of 64 rows a tile that touches no memory."""
    counts = {f"count{i}": 1 for i in range(6)} | {"count0": 64, "count1": tiles}
    fields = {**counts, "tile_levels": 1, "first": 1}
    return [Instruction(Opcode.SETUP, fields={"low": -128, "high": 127}),
            Instruction(Opcode.MATMUL, fields=fields)]


def setups(number: int) -> list[Instruction]:
    """Instructions that take as many beats of fetching, and no time besides."""
    return [Instruction(Opcode.SETUP, fields={"low": -128, "high": 127})] * number


WORK = {
    "a long load": (moved(128, Opcode.LOAD), "beats_read"),
    "a long store": (moved(128, Opcode.STORE), "beats_written"),
    "a long fetch": (setups(40), "beats_fetched"),
}


@pytest.mark.parametrize("kind", WORK)
def test_what_moves_slowly_is_not_stopped(backend, kind):
    program, counter = WORK[kind]
    found = run(backend, program, LIMIT)
    assert found["cycles"] > 4 * LIMIT
    assert found[counter] * GAP > 4 * LIMIT, "little else moved meanwhile"


def test_rows_are_progress(backend):
    """A product longer than the limit: its rows are all that moves."""
    found = run(backend, rows(16), LIMIT)
    assert found["array_rows"] == 64 * 16 > 4 * LIMIT


def test_a_unit_that_is_done_is_progress():
    """Each of a chain of short transfers takes less than the limit, two of them more."""
    config = PRESETS["tiny"]
    late = dataclasses.replace(memory_of(config), name="late", read_latency=150, write_latency=150)
    store = Instruction(Opcode.STORE, (1,), (0,), {"rows": 1, "bytes": 16, "dram_offset": 32768})
    load = Instruction(Opcode.LOAD, (0,), (1,), {"rows": 1, "bytes": 16})
    first = Instruction(Opcode.LOAD, (), (1,), {"rows": 1, "bytes": 16})
    with RtlBackend(config, late, timeout_cycles=100_000) as rtl:
        found = run(rtl, [first, store, *[load, store] * 3], LIMIT)
    assert found["cycles"] > 7 * 150


@pytest.mark.parametrize("kind", WORK)
def test_a_limit_below_the_gap_stops_it(backend, kind):
    program, _ = WORK[kind]
    with pytest.raises(DeviceError, match="WATCHDOG") as caught:
        run(backend, program, GAP // 2)
    assert caught.value.error_code == ErrorCode.WATCHDOG
    run(backend, [], LIMIT)
