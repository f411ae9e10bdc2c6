"""Graphs on maps, on the Verilated top: what comes out is torch-int's."""

from __future__ import annotations

import numpy as np

from random_maps import values_of
from weft.backend.rtl.backend import RtlBackend
from weft.backend.rtl.library import Stalls
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.reference import TorchInt
from weft.compiler.lower.program import compile_graph
from weft.program import Program

__all__ = ["run"]


def run(
    rtl: RtlBackend, graph: Graph, seed: int, stall: float = 0.0
) -> tuple[Program, dict[str, int]]:
    """Run a graph on random values; (its program, counters)."""
    program = compile_graph(graph, rtl.config)
    given = values_of(graph, seed)
    rtl.load(program)
    rtl.simulation.set_stalls(Stalls.all(seed, stall))
    got, counters = rtl.run(given), rtl.counters()
    rtl.unload()
    want, _ = TorchInt().run(graph, given)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=f"seed {seed}: {name} of\n{graph}")
    return program, counters
