"""From a graph to a program: places in the arena, schedule, constants."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.cost.predict import predict
from weft.compiler.cost.timing import TIMING
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.tensor import DTYPES
from weft.compiler.graph.windowed import WindowProblem
from weft.compiler.schedule.arena import Region, place_regions
from weft.compiler.schedule.emit import emit, queues_of
from weft.compiler.schedule.place import Copy, place_layers
from weft.compiler.schedule.place_expand import bytes_moved
from weft.compiler.schedule.plan import (
    REGION_ALIGN,
    Layer,
    Layout,
    Problem,
    place_constants,
    round_up,
    row_bytes,
)
from weft.compiler.schedule.search import (
    check_arena,
    taps_of,
)
from weft.compiler.schedule.tiling import FusedTiling
from weft.dram import MemoryModel, memory_of
from weft.errors import Unsupported, UsageError
from weft.program import NodeSpan, Program, TensorSpec
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES

from .choose import Chosen, choose
from .nodes import (
    bytes_of,
    constants_of,
    home_of,
    pitches_of,
    problem_of,
    requant_of,
    taps_of_node,
)

__all__ = ["compile_graph"]


def _in_place(graph: Graph, state: str) -> bool:
    """Whether the new value of a state may be written where the old one lies.

    All that read the old value come before, and nothing else owns either of them.
    """
    value, values = graph.states[state], list(graph.states.values())
    writer = graph.producers.get(value, -1)
    readers = graph.consumers[state]
    shared = value in graph.outputs or values.count(value) > 1 or state in values
    return writer >= 0 and not shared and all(reader < writer for reader in readers)


def _fixed(graph: Graph) -> list[str]:
    """Constants that lie in the arena as tensors do: activations, and values of states."""
    read = [name for node in graph.nodes for name in node.activations]
    used = dict.fromkeys([*read, *graph.states.values()])
    return [n for n in used if graph.tensors[n].data is not None and n not in graph.states]


def _on_chip(
    nodes: Sequence[Node], problems: Sequence[Problem], chosen: Sequence[Chosen]
) -> dict[str, int]:
    """Tensors that stay on chip, and the bytes of the arena that they need for it."""
    found = {}
    for index, (node, one) in enumerate(zip(nodes, chosen)):
        if one.problem is None:
            window, size = problems[index + 1], 0
            if isinstance(window, WindowProblem) and isinstance(one.tiling, FusedTiling):
                size = bytes_moved(window, one.tiling)
            found[node.output] = size
    return found


def _regions(graph: Graph, on_chip: Mapping[str, int]) -> tuple[list[Region], dict[str, str]]:
    """(tensors that need a place, states whose new value is written in place).

    Those `on_chip` need the bytes that it says; what the node that makes one reads is read until
    the node that they end with ends.
    """
    last = len(graph.nodes)

    def last_of(reader: int) -> int:
        made = graph.nodes[reader].output
        return last_of(graph.consumers[made][0]) if made in on_chip else reader

    def end(name: str) -> int:
        return max(map(last_of, graph.consumers[name]), default=last)

    shared = {graph.states[s]: s for s in graph.states if _in_place(graph, s)}
    found = [
        Region(name, bytes_of(graph, name), 0, last)
        for name in (*graph.inputs, *graph.states, *_fixed(graph))
    ]
    for index, node in enumerate(graph.nodes):
        if node.output in shared or node.output in graph.parts:
            continue
        if node.output in on_chip:
            if on_chip[node.output]:
                size = round_up(on_chip[node.output], GRANULE_BYTES)
                found.append(Region(node.output, size, index, last_of(index)))
            continue
        kept = node.output in graph.outputs or node.output in graph.states.values()
        # What nobody reads keeps its place: nothing would order the stores of the next tenant.
        until = last if kept else end(node.output)
        parts = [graph.producers[name] for name in node.inputs] if node.op == "concat" else [index]
        first = 0 if node.output in graph.outputs else min(parts)
        found.append(Region(node.output, bytes_of(graph, node.output), first, until))
    return found, shared


def _copies(graph: Graph, shared: Mapping[str, str], places: Mapping[str, int]) -> list[Copy]:
    """What brings the other new values to their states; none overwrites what a later one reads.

    Raises
    ------
    Unsupported
        States take each other's values.
    """
    left = {s: v for s, v in graph.states.items() if v != s and v not in shared}
    found = []
    while left:
        state = next((s for s in left if s not in left.values()), None)
        if state is None:
            raise Unsupported(
                f"graph: the states {', '.join(left)} take each other's values",
                "let a node compute one of them",
            )
        value = left.pop(state)
        size = bytes_of(graph, state)
        found.append(Copy(tensor=value, source=places[value], target=places[state], bytes=size))
    return found


def compile_graph(
    graph: Graph, config: AcceleratorConfig, memory: MemoryModel | None = None
) -> Program:
    """One program that runs all nodes of `graph`.

    Parameters
    ----------
    graph : Graph
        Verified, with all sizes bound.
    memory : MemoryModel, optional
        The DRAM that the schedule is chosen for; that of the board of `config` by default.

    Returns
    -------
    Program
        With the graph's inputs, outputs and states under their names. ``metadata`` holds macs,
        bytes_read, bytes_written, predicted_cycles, roofline_cycles, memory_model, and for each
        node its shape and tiling.

    Raises
    ------
    UsageError
        The graph breaks a rule, or a size is not bound.
    Unsupported
        A node does not fit the accelerator, or all of them no arena; states take each other's
        values.
    """
    graph.verify()
    graph.require_bound()
    if not graph.nodes:
        raise UsageError("graph: there is no node", "give a graph that computes something")
    memory = memory or memory_of(config)
    # A whole is computed by its parts.
    nodes = [node for node in graph.nodes if node.op != "concat"]
    problems = [problem_of(graph, node) for node in nodes]
    chosen = choose(graph, nodes, problems, config, memory)
    tilings = [one.tiling for one in chosen]
    done = [one.problem for one in chosen if one.problem is not None]
    on_chip = _on_chip(nodes, problems, chosen)

    # Places: the constants of each node, then the tensors.
    places: list[dict[str, int]] = []
    at = 0
    taps = []
    for problem, tiling in zip(problems, tilings):
        taps.append(taps_of(config, problem, tiling))
        offsets, at = place_constants(config, problem, at, taps[-1])
        places.append(offsets)
    regions, shared = _regions(graph, on_chip)
    tensors, end = place_regions(regions, at)
    tensors |= {value: tensors[state] for value, state in shared.items()}

    layers = []
    for node, problem, tiling, offsets in zip(nodes, problems, tilings, places):
        source, (target, inside) = node.inputs[0], home_of(graph, node.output)
        added = node.inputs[-1] if problem.residual else ""
        pitches = pitches_of(graph, source)
        if isinstance(problem, GemmProblem):  # a single row may be a whole map
            a_pitch = pitches[-1] if problem.m > 1 else round_up(problem.k, GRANULE_BYTES)
        else:
            a_pitch = pitches[0]
        layout = Layout(
            weights=offsets["weights"],
            parameters=offsets["parameters"],
            table=offsets["table"],
            a=tensors.get(source, 0),  # nothing where a pair hands it on
            a_pitch=a_pitch,
            out=tensors.get(target, 0) + inside,
            out_pitch=pitches_of(graph, target)[-1],
            out_bytes=row_bytes(problem),
            source=source,
            target=target,
            residual=tensors[added] if added else 0,
            residual_pitch=pitches_of(graph, added)[-1] if added else 0,
            added=added,
        )
        layers.append(Layer(problem, tiling, layout))
    copies = _copies(graph, shared, tensors)
    plan = place_layers(config, layers, copies)
    work = queues_of(plan, [requant_of(node) for node in nodes])
    program, owners = emit(work, config, memory)
    alone = len(layers) == 1 and not copies
    only = chosen[0].prediction if alone else None
    prediction = only if only is not None else predict(program, config, memory, TIMING)

    arena = round_up(end + len(program) * INSTRUCTION_BYTES, REGION_ALIGN)
    one = len(problems) == 1
    check_arena(problems[0].title if one else f"a chain of {len(problems)} nodes", arena)
    pieces: list[tuple[int, NDArray[Any]]] = []
    for node, problem, offsets, on_engine in zip(nodes, problems, places, taps):
        if on_engine:
            pieces.append((offsets["weights"], taps_of_node(config, graph, node, problem)))
        else:
            weights, parameters = constants_of(config, graph, node, problem)
            pieces.append((offsets["weights"], weights))
            pieces.append((offsets["parameters"], parameters))
        if node.requant is not None and node.requant.table is not None:
            pieces.append((offsets["table"], node.requant.table))

    for name in (*graph.states, *_fixed(graph)):
        tensor = graph.tensors[name]
        if tensor.data is not None:
            rows = np.ascontiguousarray(tensor.data, DTYPES[tensor.dtype]).view(np.uint8)
            rows = rows.reshape(-1, rows.shape[-1])
            pitch = (pitches_of(graph, name) or (bytes_of(graph, name),))[-1]
            rows = np.pad(rows, ((0, 0), (0, pitch - rows.shape[1])))
            pieces.append((tensors[name], rows))

    def specs(names: Iterable[str]) -> Mapping[str, TensorSpec]:
        found = {}
        for name in names:
            t = graph.tensors[name]
            found[name] = TensorSpec(name, t.dtype, t.sizes, tensors[name], pitches_of(graph, name))
        return found

    return Program(
        config=config,
        instructions=program,
        program_offset=end,
        arena_bytes=arena,
        constants=pieces,
        inputs=specs(graph.inputs),
        outputs=specs(graph.outputs),
        states=specs(graph.states),
        nodes=_spans(nodes, owners),
        metadata={
            "macs": sum(p.macs for p in problems),
            "bytes_read": sum(p.bytes_read for p in done),
            "bytes_written": sum(p.bytes_written for p in done),
            "predicted_cycles": prediction.cycles,
            "predicted_array_cycles": prediction.array_cycles,
            "roofline_cycles": sum(p.roofline(config, memory) for p in done),
            "memory_model": memory.hash,
            "nodes": [
                {"name": node.name, "op": node.op, **_shape(p),
                 "schedule": dataclasses.asdict(layer.tiling)}
                for node, p, layer in zip(nodes, problems, layers)
            ],
        },
    )


def _shape(problem: Problem) -> dict[str, Any]:
    """The sizes of a problem, for people."""
    if isinstance(problem, GemmProblem):
        return {"m": problem.m, "k": problem.k, "n": problem.n}
    return {
        "map": [problem.height, problem.width, problem.channels],
        "window": str(problem.window),
        "outputs": problem.outputs,
    }


def _spans(nodes: Sequence[Node], owners: list[int]) -> list[NodeSpan]:
    """Runs of instructions that work for one node."""
    spans, at = [], 0
    for owner, run in groupby(owners):
        end = at + len(list(run))
        spans.append(NodeSpan(nodes[owner].name, nodes[owner].op, at, end))
        at = end
    return spans
