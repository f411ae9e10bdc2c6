"""How each node of a graph is done: on which unit, and at once with which neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

from weft.compiler.cost.predict import Prediction
from weft.compiler.graph.fused import Fused
from weft.compiler.graph.graph import Graph, Node
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft.compiler.schedule import known
from weft.compiler.schedule.plan import Problem
from weft.compiler.schedule.search import Schedule, schedule_fused, schedule_node
from weft.compiler.schedule.tiling import AnyTiling, DepthwiseTiling, FusedTiling
from weft.dram import MemoryModel
from weft_hw.config import AcceleratorConfig

__all__ = ["Chosen", "choose", "scheduled"]


@lru_cache(maxsize=512)
def scheduled(config: AcceleratorConfig, problem: Problem, memory: MemoryModel) -> Schedule:
    """The schedule of a shape, which all layers of this shape share; raises Unsupported."""
    found = known.find(config, problem, memory)
    schedule = schedule_node(config, problem, memory, known=found)
    (layer,) = schedule.plan.layers
    if dataclasses.asdict(layer.tiling) != found:
        known.keep(config, problem, memory, layer.tiling)
    return schedule


@lru_cache(maxsize=512)
def scheduled_at_once(
    config: AcceleratorConfig, problem: Fused, memory: MemoryModel
) -> Schedule | None:
    """The schedule of neighbours that run at once; None where there is none."""
    found = known.find(config, problem, memory)
    schedule = schedule_fused(config, problem, memory, known=found)
    if schedule is not None:
        tiling = schedule.plan.layers[0].tiling
        if dataclasses.asdict(tiling) != found:
            known.keep(config, problem, memory, tiling)
    return schedule


def _hands_on(graph: Graph, node: Node, following: Node) -> bool:
    """Whether `following`, and nobody else, reads what `node` makes."""
    made = node.output
    kept = made in graph.outputs or made in graph.states.values() or made in graph.parts
    reads = [(n, i) for n in graph.nodes for i, name in enumerate(n.inputs) if name == made]
    state = following.output in graph.states.values()
    return not kept and not state and reads == [(following, 0)]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """How a node is done.

    tiling : of it, or of those that it is fused with. unit : which one computes it, in words.
    problem, prediction : of the node alone, or, of the last one of those that are fused, of all of
    them; None for the others.
    """

    tiling: AnyTiling
    unit: str
    problem: Problem | Fused | None = None
    prediction: Prediction | None = None


def choose(
    graph: Graph,
    nodes: Sequence[Node],
    problems: Sequence[Problem],
    config: AcceleratorConfig,
    memory: MemoryModel,
) -> list[Chosen]:
    """How each node is done: by itself, or at once with its neighbours, as is fastest by
    prediction."""
    alone = [scheduled(config, problem, memory) for problem in problems]
    #: Of the nodes up to each, the fewest cycles, and how many of the last of them are at once.
    least: list[tuple[float, int, Schedule]] = []
    for end, last in enumerate(alone):
        before = least[end - 1][0] if end else 0.0
        options = [(before + last.prediction.cycles, 1, last)]
        for count in (2, 3):
            first = end + 1 - count
            fused = _fused(graph, nodes, problems, first, count) if first >= 0 else None
            found = scheduled_at_once(config, fused, memory) if fused is not None else None
            if found is not None:
                before = least[first - 1][0] if first else 0.0
                options.append((before + found.prediction.cycles, count, found))
        least.append(min(options, key=lambda option: option[:2]))
    chosen: list[Chosen] = []
    end = len(nodes)
    while end:
        _, count, schedule = least[end - 1]
        tiling = schedule.plan.layers[0].tiling
        units = [_unit(tiling, problem) for problem in problems[end - count : end]]
        chosen.append(Chosen(tiling, units[-1], schedule.problem, schedule.prediction))
        chosen += [Chosen(tiling, unit) for unit in units[-2::-1]]
        end -= count
    return chosen[::-1]


def _unit(tiling: AnyTiling, problem: Problem) -> str:
    """In words: which unit computes a problem, under a tiling of its own or of several."""
    if isinstance(tiling, FusedTiling):
        return f"{'depthwise' if isinstance(problem, WindowProblem) else 'array'}, fused"
    return "depthwise" if isinstance(tiling, DepthwiseTiling) else "array"


def _fused(
    graph: Graph, nodes: Sequence[Node], problems: Sequence[Problem], first: int, count: int
) -> Fused | None:
    """`count` nodes from `first` on as one problem, where they are such."""
    *before, window, product = problems[first : first + count]
    expand = before[0] if before else None
    if not isinstance(window, WindowProblem) or not isinstance(product, GemmProblem):
        return None
    if expand is not None and (not isinstance(expand, GemmProblem) or expand.residual):
        return None
    pairs = zip(nodes[first:], nodes[first + 1 : first + count])
    if not all(_hands_on(graph, *pair) for pair in pairs):
        return None
    return Fused(window, product, expand)
