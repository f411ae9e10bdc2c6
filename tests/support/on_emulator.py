"""A program on the emulator: verified, and equal to torch-int."""

from __future__ import annotations

import numpy as np

from random_maps import values_of
from weft.backend.emulator import EmulatorBackend
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.reference import TorchInt
from weft.program import Program
from weft.verify import verify

__all__ = ["check"]


def check(program: Program, graph: Graph, seed: int = 0) -> None:
    """Run `program`, which is `graph` compiled, on random values."""
    verify(program)
    given = values_of(graph, seed)
    with EmulatorBackend(program.config) as emulator:
        emulator.load(program)
        got = emulator.run(given)
    want, _ = TorchInt().run(graph, given)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=f"seed {seed}: {name} of\n{graph}")
