"""Random verified programs on the Verilated top: the emulator's memory image, at full rate and with
random stalls.

``WEFT_FUZZ_SEED`` sets the first seed and ``WEFT_FUZZ_PROGRAMS`` the number of programs. The long
run of ``make sim-full`` leaves its result, with date and commit, in ``sim/last_full_fuzz.json``.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from program_strategies import seeded
from weft.backend.emulator import execute
from weft.backend.rtl.backend import RtlBackend
from weft.backend.rtl.library import Stalls
from weft.verify import verify
from weft_hw.config import preset

pytestmark = pytest.mark.sim

FIRST_SEED = int(os.environ.get("WEFT_FUZZ_SEED", "1"))
PROGRAMS = int(os.environ.get("WEFT_FUZZ_PROGRAMS", "300"))
PRESETS = ("tiny", "tiny-wide")
FULL_PROGRAMS = 20_000
RESULT = Path(__file__).with_name("last_full_fuzz.json")
#: Probabilities that a channel holds back in a cycle, in turn.
STALLS = (0.0, 0.2, 0.0, 0.5, 0.8)


def fuzz(name: str, first: int, count: int, progress=None) -> int:
    """Run `count` programs from seed `first` on; raises AssertionError with the seed."""
    config = preset(name)
    cycles = 0
    with RtlBackend(config, watchdog_cycles=20_000, timeout_cycles=1_000_000) as rtl:
        for number, seed in enumerate(range(first, first + count)):
            program = seeded(seed, config)
            verify(program)
            want = program.image()
            rtl.load(program)
            stall = STALLS[seed % len(STALLS)]
            rtl.simulation.set_stalls(Stalls.all(seed, stall))
            for _ in range(2 if program.states else 1):
                execute(config, program.instructions, want)
                rtl.run({})
                got = np.frombuffer(rtl.memory(), np.uint8)
                wrong = np.flatnonzero(got != want)
                assert not len(wrong), (
                    f"seed {seed} on {name} with stalls {stall}: {len(wrong)} bytes differ, the "
                    f"first at arena offset {wrong[0]}: {got[wrong[0]]:#04x}, "
                    f"not {want[wrong[0]]:#04x}"
                )
                cycles += rtl.counters()["cycles"]
            rtl.unload()
            if progress is not None:
                progress(number + 1)
    return cycles


@pytest.mark.parametrize("name", PRESETS)
def test_random_programs(name):
    count = PROGRAMS // len(PRESETS)
    first = FIRST_SEED + PRESETS.index(name) * count
    print(f"seeds {first}..{first + count - 1} on {name}")
    cycles = fuzz(name, first, count)
    assert cycles > 0


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_many_random_programs():
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True, text=True, cwd=RESULT.parent,
    ).stdout.strip()
    count = FULL_PROGRAMS // len(PRESETS)
    first = 1_000_000 + FIRST_SEED
    cycles = {}
    for number, name in enumerate(PRESETS):
        start = first + number * count
        print(f"seeds {start}..{start + count - 1} on {name}")
        cycles[name] = fuzz(name, start, count)
        assert cycles[name] > 0
    result = {
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "programs": count * len(PRESETS),
        "first_seed": first,
        "rtl_cycles": cycles,
        "mismatches": 0,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
