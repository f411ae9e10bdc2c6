"""Run matrix products on a backend, compare them with torch-int, and measure them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from weft.backend.opening import SIMULATED, open_backend
from weft.compiler.graph.graph import Graph
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.graph.reference import TorchInt
from weft.compiler.lower.program import compile_graph
from weft.compiler.schedule.plan import layout_of
from weft.compiler.schedule.search import check_arena
from weft.dram import memory_of
from weft.errors import UsageError
from weft.results import Count, Positive, Rule
from weft.tools import require
from weft.verify import verify
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType

from .equality import describe_difference, require_exact

__all__ = ["GemmBench", "GemmResult", "parse_shapes", "random_runs"]


@dataclass(frozen=True)
class GemmResult:
    """One product on one backend. Numbers that need a clock are None on a backend without one.

    cycles : doorbell to done. roofline_cycles : bound of array and memory. attainment : the ratio.
    hw_mac_utilisation : MAC slots used / (R * C * cycles). network_mac_utilisation : useful MACs
    / (R * C * cycles). bytes_read, bytes_written : on the bus, parameters included, program not.
    bank_conflicts : cycles in which a scratchpad client lost its bank. exact : every element equals
    torch-int. difference : the first element that differs from torch-int. model_error : predicted /
    cycles - 1. simulated_cycles_per_second : speed of the simulation itself on this host.
    """

    m: Positive
    k: Positive
    n: Positive
    result: Annotated[str, Rule(enum=["int8", "int16", "int32"])]
    backend: Annotated[str, Rule(enum=list(SIMULATED))]
    cycles: int | None
    roofline_cycles: float
    attainment: float | None
    hw_mac_utilisation: float | None
    network_mac_utilisation: float | None
    predicted_cycles: Count
    model_error: float | None
    bytes_read: Count
    bytes_written: Count
    bank_conflicts: int | None
    exact: bool
    difference: str | None
    simulated_ms: float | None
    simulated_cycles_per_second: float | None


def parse_shapes(text: str) -> list[tuple[int, int, int]]:
    """``"MxKxN,MxKxN"`` as tuples.

    Raises
    ------
    UsageError
        The text is not of this form, or a size is zero.
    """
    shapes = []
    for part in text.split(","):
        sizes = part.strip().lower().split("x")
        if len(sizes) != 3 or not all(s.isdecimal() and int(s) > 0 for s in sizes):
            raise UsageError(
                f"a shape must be MxKxN with positive sizes, not {part.strip()!r}",
                "for example --shapes 128x384x384,1x384x1536",
            )
        shapes.append((int(sizes[0]), int(sizes[1]), int(sizes[2])))
    return shapes


class GemmBench:
    """One accelerator with one memory on one backend, ready to run products.

    Parameters
    ----------
    config : AcceleratorConfig
    backend : "rtl" or "emulator"
        The RTL simulator is built on the first use of a config, and found in the cache afterwards.
    clock_mhz : int, optional
        Clock that the memory model is for; the preset's by default.
    latency_factor : int, >= 1
        Multiplies the latencies of the memory model.
    progress : callable, optional
        Told what a build of the simulator does.

    Raises
    ------
    UsageError
        An unknown backend, or a clock that the board does not have.
    ToolMissing
        The backend, or torch, is not installed.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        backend: str = "rtl",
        *,
        clock_mhz: int | None = None,
        latency_factor: int = 1,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if backend not in SIMULATED:
            raise UsageError(f"backend must be {' or '.join(SIMULATED)}, not {backend!r}")
        self.config = config
        self.backend = backend
        self.clock_mhz = config.clock_mhz if clock_mhz is None else clock_mhz
        model = memory_of(config, clock_mhz=self.clock_mhz)
        require("torch", what="a comparison with torch-int")
        self._reference = TorchInt()
        #: The DRAM that schedules are chosen for and, on the RTL, run with.
        self.memory_model = (
            model.with_latency_factor(latency_factor) if latency_factor != 1 else model
        )
        self._device = open_backend(backend, config, memory=self.memory_model, progress=progress)

    def run(self, graph: Graph, activations: NDArray[np.int8]) -> GemmResult:
        """Run one layer and compare it with torch-int.

        Parameters
        ----------
        graph : one node, input ``a`` [M, K], output ``out`` [M, N], M bound
        activations : int8 [M, K]
        """
        config, (node,) = self.config, graph.nodes
        program = compile_graph(graph, config, self.memory_model)
        verify(program)
        self._device.load(program)
        started = time.perf_counter()
        got = self._device.run({"a": activations})["out"]
        seconds = time.perf_counter() - started
        counters = self._device.counters()
        self._device.unload(program)
        want, _ = self._reference.run(graph, {"a": activations})
        difference = describe_difference(
            got, want["out"], layer=node.name, config=config, got_name=self.backend
        )
        problem = GemmProblem.of(graph, node)
        roofline = problem.roofline(config, self.memory_model)
        cycles = counters.get("cycles")
        predicted = int(program.metadata["predicted_cycles"])
        conflicts = None
        if "read_conflicts" in counters:
            conflicts = counters["read_conflicts"] + counters["write_conflicts"]
        slots = config.macs_per_cycle
        return GemmResult(
            m=problem.m,
            k=problem.k,
            n=problem.n,
            result=problem.result_type.name.lower(),
            backend=self.backend,
            cycles=cycles,
            roofline_cycles=roofline,
            attainment=roofline / cycles if cycles else None,
            hw_mac_utilisation=counters["array_rows"] / cycles if cycles else None,
            network_mac_utilisation=problem.macs / (slots * cycles) if cycles else None,
            predicted_cycles=predicted,
            model_error=predicted / cycles - 1 if cycles else None,
            bytes_read=counters["beats_read"] * config.beat_bytes,
            bytes_written=counters["beats_written"] * config.beat_bytes,
            bank_conflicts=conflicts,
            exact=difference is None,
            difference=difference,
            simulated_ms=cycles / self.clock_mhz / 1000 if cycles else None,
            simulated_cycles_per_second=cycles / seconds if cycles else None,
        )

    def close(self) -> None:
        """Give the backend back."""
        self._device.close()


def random_runs(
    bench: GemmBench,
    shapes: list[tuple[int, int, int]],
    result: str,
    seed: int,
    on_done: Callable[[GemmResult], None],
) -> list[GemmResult]:
    """Run random products of `shapes`, each from its own stream of `seed`.

    Raises
    ------
    Unsupported
        A shape fits no arena; said before anything is made of that size.
    Mismatch
        An element differs from torch-int; the sentence names layer, tile and element.
    """
    problems = [GemmProblem(m, k, n, ResultType[result.upper()]) for m, k, n in shapes]
    for problem in problems:
        check_arena(f"gemm {problem.name}", layout_of(bench.config, problem)[1])
    results = []
    for index, problem in enumerate(problems):
        rng = np.random.default_rng([seed, index])
        graph = random_linear(problem, rng)
        measured = bench.run(graph, rng.integers(-128, 128, (problem.m, problem.k), np.int8))
        require_exact(measured.difference)
        results.append(measured)
        on_done(measured)
    return results
