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
from weft.program import Program

__all__ = ["EmulatorBackend", "PynqBackend", "counts", "open_board", "product", "same"]


def open_board(**options) -> PynqBackend:
    return PynqBackend(sys.argv[2], sys.argv[1], **options)


def counts(backend: PynqBackend) -> dict[str, int]:
    return json.loads(backend.loaded.device.read_file("/weft/counts"))


def product(config, m: int = 12, k: int = 40, n: int = 24, seed: int = 1) -> Program:
    layer = random_linear(GemmProblem(m, k, n), np.random.default_rng(seed))
    return compile_graph(layer, config)


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
