"""A compiled model on a backend: as a whole, and each layer by itself, compared with torch-int."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.backend.base import Backend
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.parts import alone, with_all_outputs
from weft.compiler.graph.reference import TorchInt
from weft.compiler.lower.nodes import problem_of
from weft.compiler.lower.program import compile_graph
from weft.dram import MemoryModel
from weft.errors import Unsupported
from weft.results import Count
from weft.runtime.compiled import CompiledModel, ProgramRun, RunningModel
from weft.runtime.reports import OperatorReport
from weft.verify import verify

from .equality import describe_difference, require_exact

__all__ = ["LayerResult", "bench_model"]

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerResult:
    """One operator of a model, or the whole: the last result, whose op is "total".

    where : "accelerator" or "host". A layer on the accelerator ran by itself, as a program of its
    own, on the integers that reach it in the model; the total ran as the model does. cycles :
    doorbell to done; null on the host, and on a backend without a clock. roofline_cycles : bound of
    array and memory; of the total, of all layers, as they are fused. attainment : the ratio.
    hw_mac_utilisation : MAC slots used / (R * C * cycles). network_mac_utilisation : useful MACs /
    (R * C * cycles). predicted_cycles : by the cost model. bytes_read, bytes_written : on the bus,
    parameters included, program not. exact : every element equals torch-int; null on the host.
    """

    name: str
    op: str
    where: str
    macs: Count
    cycles: int | None = None
    roofline_cycles: float | None = None
    attainment: float | None = None
    hw_mac_utilisation: float | None = None
    network_mac_utilisation: float | None = None
    predicted_cycles: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    exact: bool | None = None


def bench_model(
    model: CompiledModel,
    running: RunningModel,
    inputs: Mapping[str, Array],
    memory: MemoryModel,
    on_done: Callable[[LayerResult], None] = lambda result: None,
) -> list[LayerResult]:
    """Run one example through `model`, then each of its layers by itself.

    Parameters
    ----------
    model : compiled in this process: it has its graphs
    running : the model on the backend to measure, one that runs programs
    inputs : of one example, by name
    memory : the DRAM that schedules are chosen for
    on_done : called with each result

    Raises
    ------
    Mismatch
        An element differs from torch-int; the sentence names layer, tile and element.
    """
    device = running.device
    if device is None:
        raise Unsupported("nothing of the model runs on the accelerator", "see weft explain")
    config, reference = device.config, TorchInt()
    seen: list[tuple[Graph, dict[str, Array], dict[str, Array]]] = []

    def keep(index: int, given: Mapping[str, Array], got: Mapping[str, Array]) -> None:
        graph = model.graphs[index]
        every, _ = reference.run(with_all_outputs(graph), given)
        for name, array in got.items():
            _require_equal(array, every[name], name, device)
        seen.append((graph, dict(given), every))

    running.on_program = keep
    running.run(inputs)
    running.on_program = None
    runs = running.runs
    reports: dict[str, OperatorReport] = {r.name: r for r in model.explain()}
    results: dict[str, LayerResult] = {}
    for graph, given, every in seen:
        for node in (node for node in graph.nodes if node.name in reports and node.op != "concat"):
            values = {**given, **every}
            result = _layer(graph, node, values, device, memory, reports[node.name])
            results[node.name] = result
            on_done(result)
    for report in reports.values():
        if report.name not in results:  # on the host, or no more than addresses
            results[report.name] = LayerResult(report.name, report.op, report.where, report.macs)
    layers = [results[name] for name in reports]
    total = _total(layers, runs, config.macs_per_cycle)
    on_done(total)
    return [*layers, total]


def _require_equal(got: Array, want: Array, name: str, device: Backend[Any]) -> None:
    difference = describe_difference(
        got.reshape(-1, got.shape[-1]),
        want.reshape(-1, want.shape[-1]),
        layer=name,
        config=device.config,
        got_name=device.name,
    )
    require_exact(difference)


def _layer(
    graph: Graph,
    node: Node,
    values: Mapping[str, Array],
    device: Backend[Any],
    memory: MemoryModel,
    report: OperatorReport,
) -> LayerResult:
    """A layer as a program of its own."""
    part, config = alone(graph, node), device.config
    program = compile_graph(part, config, memory)
    verify(program)
    device.load(program)
    got = device.run({name: np.asarray(values[name], np.int8) for name in part.inputs})
    counters = device.counters()
    device.unload(program)
    _require_equal(got[node.output], values[node.output], node.name, device)
    problem = problem_of(part, node)
    roofline, cycles = problem.roofline(config, memory), counters.get("cycles")
    slots = config.macs_per_cycle
    return LayerResult(
        name=report.name,
        op=report.op,
        where=report.where,
        macs=problem.macs,
        cycles=cycles,
        roofline_cycles=roofline,
        attainment=roofline / cycles if cycles else None,
        hw_mac_utilisation=counters["array_rows"] / cycles if cycles else None,
        network_mac_utilisation=problem.macs / (slots * cycles) if cycles else None,
        predicted_cycles=int(program.metadata["predicted_cycles"]),
        bytes_read=counters["beats_read"] * config.beat_bytes,
        bytes_written=counters["beats_written"] * config.beat_bytes,
        exact=True,
    )


def _total(layers: list[LayerResult], runs: list[ProgramRun], slots: int) -> LayerResult:
    """The model as it runs: all of its programs."""
    chip = [layer for layer in layers if layer.where == "accelerator"]
    counted = [run.cycles for run in runs if run.cycles is not None]
    cycles = sum(counted) if counted and len(counted) == len(runs) else None
    roofline = sum(run.roofline_cycles for run in runs)
    macs = sum(layer.macs for layer in chip)
    rows = sum(run.array_rows or 0 for run in runs)
    return LayerResult(
        name="total",
        op="total",
        where="accelerator",
        macs=macs,
        cycles=cycles,
        roofline_cycles=roofline,
        attainment=roofline / cycles if cycles else None,
        hw_mac_utilisation=rows / cycles if cycles else None,
        network_mac_utilisation=macs / (slots * cycles) if cycles else None,
        predicted_cycles=sum(run.predicted_cycles for run in runs),
        bytes_read=sum(run.bytes_read or 0 for run in runs),
        bytes_written=sum(run.bytes_written or 0 for run in runs),
        exact=True,
    )
