"""What the client processes of these tests share; runs under pynq's Python."""

from __future__ import annotations

import json
import sys

import numpy as np

from weft.backend.emulator import EmulatorBackend
from weft.backend.pynq.backend import PynqBackend
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.program import Patch, Program, TensorSpec
from weft.program.asm import assemble

__all__ = [
    "FIRST",
    "EmulatorBackend",
    "PynqBackend",
    "cache",
    "counts",
    "open_board",
    "product",
    "same",
]

X, CACHE, OUT, CONSTANT, CODE = 8192, 8208, 12288, 16384, 20480
SLOTS = 8
#: What slot 2 of the cache holds at first.
FIRST = np.arange(16, dtype=np.int8)


def open_board(**options) -> PynqBackend:
    return PynqBackend(sys.argv[2], sys.argv[1], **options)


def counts(backend: PynqBackend) -> dict[str, int]:
    return json.loads(backend.loaded.device.read_file("/weft/counts"))


def product(config, m: int = 12, k: int = 40, n: int = 24, seed: int = 1) -> Program:
    layer = random_linear(GemmProblem(m, k, n), np.random.default_rng(seed))
    return compile_graph(layer, config)


def cache(config, joined: bool = False) -> Program:
    """``out = cache`` as the run before left it; then ``cache[slot] = x``, rows of 16 bytes.

    With `joined`, one transfer loads x and cache together, so that they cannot be moved apart.
    """
    load = f"load dram_offset={X} rows=1 bytes=16\n"
    load += f"load post=0 dram_offset={CACHE} dram_pitch=16 rows=8 bytes=16 chip_address=4 "
    if joined:
        load = f"load post=0 dram_offset={X} dram_pitch=16 rows=9 bytes=16 "
    text = f"""
        {load} chip_pitch=4
        store wait=0 dram_offset={CACHE} rows=1 bytes=16
        store dram_offset={OUT} dram_pitch=16 rows=8 bytes=16 chip_address=4 chip_pitch=4
        end
    """
    return Program(
        config,
        assemble(text),
        program_offset=CODE,
        arena_bytes=24576,
        constants=[(CACHE + 32, FIRST), (CONSTANT, bytes(4096))],
        inputs=[TensorSpec("x", "int8", (1, 16), X, (16,))],
        outputs=[TensorSpec("out", "int8", (SLOTS, 16), OUT, (16,))],
        states=[TensorSpec("cache", "int8", (SLOTS, 16), CACHE, (16,))],
        patches=[Patch("slot", 0, SLOTS - 1, ((1 if joined else 2, "dram_offset", 16),))],
    )


def same(backend: PynqBackend, program: Program, seed: int) -> None:
    """Run the loaded program on random inputs; every output equals the emulator's."""
    rng = np.random.default_rng(seed)
    inputs = {n: rng.integers(-128, 128, s.shape, np.int8) for n, s in program.inputs.items()}
    with EmulatorBackend(program.config) as emulator:
        emulator.load(program)
        wanted = emulator.run(inputs)
    found = backend.run(inputs)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
