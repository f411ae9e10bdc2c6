"""Choice of a tiling by predicted cycles.

All tilings are placed. Those with the least work are predicted, in that order, until the work of
the next one alone takes longer than the best that was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from weft.compiler.cost.predict import Prediction, predict
from weft.compiler.cost.timing import TIMING, Timing, port_cycles, tile_cycles
from weft.compiler.graph.fused import Fused
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft.dram import MemoryModel, memory_of
from weft.errors import Unsupported
from weft.program import MAX_ARENA_BYTES
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction

from . import depthwise, fused, matmul, windows
from .emit import emit, queues_of
from .place import place_layers
from .plan import Layer, Load, Plan, Problem, Slide, Store, layout_of
from .tiling import AnyTiling, DepthwiseTiling, FusedTiling
from .walk import walk_of

__all__ = ["Schedule", "check_arena", "schedule_fused", "schedule_node", "taps_of"]

#: Instructions of all tilings that are predicted, together: it keeps a search at a second or two.
EFFORT = 12000
#: Cycles that a schedule may be slower for each instruction that it saves: a board writes and
#: fetches them, and a fetch that is late is the first thing to slip on a busier memory.
INSTRUCTION_WEIGHT = 1.0
#: Cycles for each cycle of traffic: of two schedules that take as long, the one that moves less
#: costs less energy, and is hurt less where the memory is slower than the model says.
TRAFFIC_WEIGHT = 0.01


@dataclass(frozen=True)
class Schedule:
    """A problem, or neighbours fused, the tiling chosen for it, and what follows."""

    config: AcceleratorConfig
    problem: Problem | Fused
    memory: MemoryModel
    plan: Plan
    instructions: tuple[Instruction, ...]
    prediction: Prediction

    @property
    def roofline(self) -> float:
        """Cycles that no schedule can beat."""
        return self.problem.roofline(self.config, self.memory)

    @property
    def attainment(self) -> float:
        """Roofline over predicted cycles."""
        return self.roofline / self.prediction.cycles


def check_arena(what: str, size: int) -> None:
    """Refuse an arena of `size` bytes where it cannot be addressed; raises Unsupported."""
    if size > MAX_ARENA_BYTES:
        raise Unsupported(
            f"{what} needs an arena of {size} bytes, "
            f"the most that can be addressed is {MAX_ARENA_BYTES}",
            "split the problem",
        )


def _score(cycles: float, traffic: float, instructions: int) -> float:
    """Cycles, and a little for traffic and instructions."""
    return cycles + TRAFFIC_WEIGHT * traffic + INSTRUCTION_WEIGHT * instructions


def _bound(plan: Plan, memory: MemoryModel, timing: Timing) -> float:
    """Score that the plan can hardly beat: the unit with the most work, without any wait.

    The array cannot start before the first load, nor end behind the last store.
    """
    config = plan.config

    def cycles(item: Load | Store, write: bool) -> float:
        return port_cycles(
            item.dram,
            item.dram_pitch,
            item.rows,
            item.bytes,
            write=write,
            config=config,
            memory=memory,
            timing=timing,
        )

    reads = [cycles(load, False) for load in plan.loads]
    writes = [cycles(store, True) for store in plan.stores]
    array = sum(
        tile_cycles(
            step.nest.rows,
            step.nest.tiles,
            step.nest.sums if step.last else 0,
            plan.layers[step.layer].problem.result_type.bytes,
            config,
            plan.layers[step.layer].problem.residual,
        )
        for step in plan.steps
        if not isinstance(step, Slide)
    )
    engine = sum(math.prod(s.counts) for s in plan.steps if isinstance(s, Slide))
    moved = sum(x.rows * x.bytes for x in plan.loads) + sum(x.rows * x.bytes for x in plan.stores)
    shared = moved / memory.deliverable_bytes_per_cycle
    first = sum(reads[: plan.steps[0].after_load + 1])
    busiest = max(max(array, engine) + first + writes[-1], sum(reads), sum(writes), shared)
    count = len(plan.loads) + len(plan.steps) + len(plan.stores)
    return _score(busiest, sum(reads) + sum(writes), count)


def taps_of(config: AcceleratorConfig, problem: Problem, tiling: AnyTiling) -> int:
    """Bytes of the constants of the depthwise engine; 0 for a tiling of the array."""
    on_engine = isinstance(tiling, DepthwiseTiling | FusedTiling)
    if not on_engine or not isinstance(problem, WindowProblem):
        return 0
    walk = walk_of(config, problem)
    return depthwise.tap_bytes(config, problem, walk) if walk else 0


def _candidates(config: AcceleratorConfig, problem: Problem) -> Iterator[AnyTiling]:
    """Tilings on each unit that can do it.

    Raises
    ------
    Unsupported
        No unit can.
    """
    if isinstance(problem, GemmProblem):
        yield from matmul.candidates(config, problem)
        return
    engine = list(depthwise.candidates(config, problem))
    yield from engine
    try:
        yield from windows.candidates(config, problem)
    except Unsupported:
        if not engine:
            raise


def schedule_node(
    config: AcceleratorConfig,
    problem: Problem,
    memory: MemoryModel | None = None,
    timing: Timing = TIMING,
    known: Mapping[str, int | bool] | None = None,
) -> Schedule:
    """The best schedule found for `problem`; weights are not needed.

    Parameters
    ----------
    known : fields of the tiling that a search chose before; where it is a candidate, the only one.

    Raises
    ------
    Unsupported
        Nothing fits; the sentence says what, and the remedy.
    """
    memory = memory or memory_of(config)
    check_arena(problem.title, layout_of(config, problem)[1])
    placed: list[tuple[float, Plan]] = []
    reason = ""
    for tiling in _only(_candidates(config, problem), known):
        try:
            layout, _ = layout_of(config, problem, taps_of(config, problem, tiling))
            plan = place_layers(config, [Layer(problem, tiling, layout)])
        except Unsupported as error:
            reason = error.message
        else:
            placed.append((_bound(plan, memory, timing), plan))
    best = _best(config, problem, memory, timing, placed)
    if best is None:
        raise Unsupported(
            f"{problem.title} fits {config.name} under no tiling" + (reason and f": {reason}"),
            "choose a larger preset or split the problem",
        )
    return best


def schedule_fused(
    config: AcceleratorConfig,
    problem: Fused,
    memory: MemoryModel,
    timing: Timing = TIMING,
    known: Mapping[str, int | bool] | None = None,
) -> Schedule | None:
    """The best schedule found for neighbours that run at once; None where there is none."""
    placed: list[tuple[float, Plan]] = []
    # As if what lies between had a place in the arena; nothing is there.
    for tiling in _only(fused.candidates(config, problem), known):
        layers = [
            Layer(part, tiling, layout_of(config, part, taps_of(config, part, tiling))[0])
            for part in problem.parts
        ]
        try:
            plan = place_layers(config, layers)
        except Unsupported:
            continue
        placed.append((_bound(plan, memory, timing), plan))
    return _best(config, problem, memory, timing, placed)


def _only(
    tilings: Iterator[AnyTiling], known: Mapping[str, int | bool] | None
) -> list[AnyTiling]:
    """The one that is known, where it is among them; all of them otherwise."""
    every = list(tilings)
    return [tiling for tiling in every if asdict(tiling) == known] or every


def _best(
    config: AcceleratorConfig,
    problem: Problem | Fused,
    memory: MemoryModel,
    timing: Timing,
    placed: list[tuple[float, Plan]],
) -> Schedule | None:
    """The plan with the best score, by prediction; None where there is no plan."""
    best: Schedule | None = None
    least, effort = math.inf, 0
    for bound, plan in sorted(placed, key=lambda item: item[0]):
        effort += len(plan.loads) + len(plan.steps) + len(plan.stores)
        if bound >= least or (best is not None and effort > EFFORT):
            break
        program, _ = emit(queues_of(plan, [None] * len(plan.layers)), config, memory, timing)
        prediction = predict(program, config, memory, timing)
        traffic = prediction.read_cycles + prediction.write_cycles
        score = _score(prediction.cycles, traffic, len(program))
        if score < least:
            least = score
            best = Schedule(config, problem, memory, plan, tuple(program), prediction)
    return best
