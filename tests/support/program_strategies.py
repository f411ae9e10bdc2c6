"""Random small programs that the verifier accepts.

:func:`random_program` takes a hypothesis ``draw``, :func:`seeded` a seed; both make one
:class:`weft.program.Program` in the same way. Every on-chip memory is loaded in full first, then
come random setups, matrix products, loads and stores, with exactly the semaphores that their
conflicts ask for and a few more; last, the whole scratchpad is stored, so that the arena after the
run holds all that a program did. Some programs have a state, which stores and loads of one run and
of the next share.
"""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
from hypothesis import strategies as st

from choices import Choices
from program_builder import DUMP, PARAMETERS, POOL, STORES, WEIGHTS_END, Builder, entry_bytes
from weft.program import Program, TensorSpec
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import LAYOUTS, SEMAPHORES, Instruction, Opcode

__all__ = ["corrupted", "programs", "random_program", "seeded"]


def random_program(draw: st.DrawFn, config: AcceleratorConfig) -> Program:
    """A program whose decisions hypothesis takes, so that it can shrink it."""
    return _make(Choices(lambda low, high: draw(st.integers(low, high))), config)


def programs(config: AcceleratorConfig) -> st.SearchStrategy[Program]:
    """Strategy of verified programs for `config`."""
    return st.composite(random_program)(config)


def seeded(seed: int, config: AcceleratorConfig) -> Program:
    """The program of a seed; the same on every machine."""
    return _make(Choices(random.Random(seed).randint), config)


def corrupted(seed: int, config: AcceleratorConfig) -> Program:
    """The program of a seed with one field, or the semaphores, of one instruction changed.

    Counts stay below 41, so that a run ends. The verifier may accept the result or refuse it; the
    core stops it with an error or runs it to its end.
    """
    program, choices = seeded(seed, config), Choices(random.Random(seed).randint)
    instructions = list(program.instructions)
    at = choices.integer(0, len(instructions) - 2)
    old = instructions[at]
    waits, posts, fields = old.waits, old.posts, dict(old.fields)
    if choices.chance(20):
        waits, posts = (choices.integer(0, SEMAPHORES - 1),), (choices.integer(0, SEMAPHORES - 1),)
    else:
        header = LAYOUTS[Opcode.END]
        f = choices.pick([f for f in LAYOUTS[old.opcode] if f.name not in header])
        near = old[f.name] + choices.pick([-2, -1, 1, 2, 16])
        values = [0, f.low, f.high, choices.integer(f.low, f.high), min(max(near, f.low), f.high)]
        fields[f.name] = choices.pick(values)
        if f.name.startswith("count"):
            fields[f.name] = min(fields[f.name], 40)
    instructions[at] = Instruction(old.opcode, waits, posts, fields)
    return dataclasses.replace(program, instructions=instructions)


def _make(choices: Choices, config: AcceleratorConfig) -> Program:
    builder = Builder(choices, config)
    builder.preload()
    builder.carry(Opcode.LOAD)
    for _ in range(choices.integer(1, 6)):
        choices.pick(
            [builder.products, builder.products, builder.products, builder.load, builder.store]
            + [builder.windows, builder.windows] * bool(config.tap_words)
        )()
    builder.carry(Opcode.STORE)
    builder.dump()
    instructions = builder.finish()
    size = 64 * len(instructions)
    arena_bytes = 32768 + 4096 * math.ceil(size / 4096)
    planes = config.scratchpad_bytes // 512
    pool, entries = _data(choices.integer(0, 2**32 - 1), config)
    constants = [(POOL, pool), (PARAMETERS, entries)]
    if builder.state and choices.chance(50):
        granules = (builder.state.end - STORES) // 16
        constants.append((STORES, pool[-16 * choices.integer(1, min(granules, 8)) :]))
    return Program(
        config=config,
        instructions=instructions,
        program_offset=32768,
        arena_bytes=arena_bytes,
        constants=constants,
        outputs=[TensorSpec("dump", "int8", (planes, 8, 64), DUMP, (512, 64))],
        states=[builder.state] if builder.state else [],
    )


def _data(seed: int, config: AcceleratorConfig) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of matrices and of parameter entries, extreme values among them."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 256, PARAMETERS - POOL).astype(np.uint8)
    for value in (0x80, 0x7F, 0x00):
        pool[rng.random(len(pool)) < 0.1] = value
    start = int(rng.integers(0, len(pool) - 512))
    pool[start : start + 512] = rng.choice([0x80, 0x7F, 0x81])
    weights = pool[: WEIGHTS_END - POOL]
    weights[weights == 0x80] = 0x81
    n = entry_bytes(config) // 8
    spread = rng.integers(0, 32, n)
    bias = rng.integers(-(2**31), 2**31, n) >> spread
    bias[rng.random(n) < 0.05] = 2**31 - 1
    multiplier = rng.integers(0, 1 << 17, n)
    multiplier[rng.random(n) < 0.05] = (1 << 17) - 1
    multiplier[rng.random(n) < 0.05] = 1
    # Sums of tiny tiles have some 18 bits: most shifts leave a few of 18 + 17 bits.
    shift = np.where(rng.random(n) < 0.7, rng.integers(20, 30, n), rng.integers(1, 43, n))
    entries = (bias.astype(np.int64) & 0xFFFFFFFF).astype(np.uint64)
    entries |= multiplier.astype(np.uint64) << np.uint64(32)
    entries |= shift.astype(np.uint64) << np.uint64(49)
    return pool, entries.view(np.uint8)
