"""Random verified programs give one memory image in every mode of the emulator and in any order.

The Verilated accelerator runs the same programs in ``sim/test_fuzz.py``.

``WEFT_FUZZ_SEED`` sets the first seed and ``WEFT_FUZZ_PROGRAMS`` the number of programs.
"""

from __future__ import annotations

import dataclasses
import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from naive_emulator import EXECUTE as ONE_BY_ONE
from overlapped import run_overlapped
from program_strategies import corrupted, random_program, seeded
from weft.backend.emulator import EmulatorBackend, execute
from weft.errors import DeviceError, ProgramRefused
from weft.program import Program
from weft.verify import verify
from weft_hw.config import preset
from weft_hw.isa import Instruction

FIRST_SEED = int(os.environ.get("WEFT_FUZZ_SEED", "1"))
PROGRAMS = int(os.environ.get("WEFT_FUZZ_PROGRAMS", "300"))
CHUNKS = 6
CASES = [(name, chunk) for name in ("tiny", "tiny-wide") for chunk in range(CHUNKS)]


def seeds(name: str, chunk: int) -> range:
    """Seeds of one test case; PROGRAMS altogether over CASES."""
    first = FIRST_SEED + CASES.index((name, chunk)) * PROGRAMS // len(CASES)
    return range(first, first + PROGRAMS // len(CASES))


def run(program: Program, **how) -> np.ndarray:
    arena = program.image()
    execute(program.config, program.instructions, arena, **how)
    return arena


def difference(seed: int, what: str, got: np.ndarray, want: np.ndarray) -> str:
    """A sentence for a failure; empty where the images are equal."""
    wrong = np.flatnonzero(got != want)
    if not len(wrong):
        return ""
    at = int(wrong[0])
    return (
        f"seed {seed}: {what}: {len(wrong)} bytes differ, the first at arena offset {at}: "
        f"{got[at]:#04x}, not {want[at]:#04x}"
    )


@pytest.mark.parametrize(("name", "chunk"), CASES)
def test_vectorised_loops_and_overlapped_agree(name, chunk):
    config = preset(name)
    for number, seed in enumerate(seeds(name, chunk)):
        program = seeded(seed, config)
        verify(program)
        want = run(program)
        choice = random.Random(seed)
        assert not difference(seed, "order", run(program, choose=choice.choice), want)
        if number % 4 == 0:
            assert not difference(seed, "loops", run(program, meaning=ONE_BY_ONE), want)
        for variant in range(2):
            arena = program.image()
            run_overlapped(config, program.instructions, arena, variant)
            assert not difference(seed, "overlapped", arena, want)


@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
def test_what_the_verifier_accepts_without_a_semaphore_is_still_one_result(name):
    """Take one edge out of each program: refused, or not needed."""
    config = preset(name)
    refused = kept = different = 0
    for seed in range(150):
        program = seeded(seed, config)
        instructions = list(program.instructions)
        edges = [
            (i, s) for i, x in enumerate(instructions) for s in x.posts
        ]  # fmt: skip
        if not edges:
            continue
        poster, semaphore = random.Random(seed).choice(edges)
        before = [x for x in instructions[:poster] if semaphore in x.posts]
        waiters = [i for i, x in enumerate(instructions) if semaphore in x.waits]
        waiter = waiters[len(before)]
        instructions[poster] = without(instructions[poster], posts=semaphore)
        instructions[waiter] = without(instructions[waiter], waits=semaphore)
        changed = dataclasses.replace(program, instructions=instructions)
        images = [changed.image() for _ in range(5)]
        for variant, arena in enumerate(images):
            run_overlapped(config, instructions, arena, variant)
        try:
            verify(changed)
        except ProgramRefused as error:
            assert error.rule == "hazard"
            refused += 1
            different += any((arena != images[0]).any() for arena in images)
            continue
        kept += 1
        want = run(changed)
        for arena in images:
            assert not difference(seed, "overlapped", arena, want)
    assert refused > 10 and kept > 3
    assert different > 5, "the overlapped executor does find hazards"


@pytest.mark.parametrize("name", ["tiny", "tiny-wide"])
def test_corrupted_programs_run_or_stop_with_an_error_code(name):
    config = preset(name)
    accepted, codes = 0, set()
    for seed in range(150):
        program = corrupted(seed, config)
        try:
            verify(program)
            good = True
        except ProgramRefused:
            good = False
        try:
            run(program)
        except DeviceError as error:
            assert not good, f"seed {seed}: {error}"
            assert error.error_code and error.instruction >= 0
            codes.add(error.error_code)
        accepted += good
    assert accepted > 10 and len(codes) >= 3


def without(instruction: Instruction, *, waits: int = -1, posts: int = -1) -> Instruction:
    return Instruction(
        instruction.opcode,
        tuple(s for s in instruction.waits if s != waits),
        tuple(s for s in instruction.posts if s != posts),
        instruction.fields,
    )


@given(data=st.data(), name=st.sampled_from(["tiny", "tiny-wide"]))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_programs_of_hypothesis_round_trip_and_agree(data, name):
    config = preset(name)
    program = random_program(data.draw, config)
    verify(program)
    assert Program.from_bytes(program.to_bytes(), config) == program
    with EmulatorBackend(config) as emulator:
        emulator.load(program)
        want = program.image()
        for _ in range(2):
            emulator.run({})
            execute(config, program.instructions, want, meaning=ONE_BY_ONE)
            assert emulator.memory() == want.tobytes()
