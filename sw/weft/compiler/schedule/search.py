"""Choice of a tiling by predicted cycles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.compiler.cost.predict import Prediction, predict
from weft.compiler.cost.timing import TIMING, Timing
from weft.compiler.graph.matmul import GemmProblem
from weft.dram import MemoryModel, memory_of, roofline_cycles
from weft.errors import Unsupported
from weft.program import MAX_ARENA_BYTES
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction

from .emit import emit
from .matmul import candidates, rough_cycles
from .place import place_layers
from .plan import Layer, Plan, layout_of

__all__ = ["Schedule", "check_arena", "schedule_gemm"]

#: Tilings that are predicted in full, at most, and instructions of all of them together.
MOST_PREDICTIONS, EFFORT = 10, 6000


@dataclass(frozen=True)
class Schedule:
    """A problem, the tiling chosen for it, and what follows."""

    config: AcceleratorConfig
    problem: GemmProblem
    memory: MemoryModel
    plan: Plan
    instructions: tuple[Instruction, ...]
    prediction: Prediction

    @property
    def roofline(self) -> float:
        """Cycles that no schedule can beat."""
        p = self.problem
        return roofline_cycles(self.config, self.memory, p.macs, p.bytes_read, p.bytes_written)

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


def _score(prediction: Prediction, instructions: int) -> float:
    """Predicted cycles, and a little for traffic, which costs energy and is the first to slip."""
    traffic = prediction.read_cycles + prediction.write_cycles
    return prediction.cycles + 0.01 * traffic + 2 * instructions


def schedule_gemm(
    config: AcceleratorConfig,
    problem: GemmProblem,
    memory: MemoryModel | None = None,
    timing: Timing = TIMING,
) -> Schedule:
    """The best schedule found for `problem`; weights are not needed.

    Raises
    ------
    Unsupported
        Nothing fits; the sentence says what, and the remedy.
    """
    memory = memory or memory_of(config)
    layout, end = layout_of(config, problem)
    check_arena(f"gemm {problem.name}", end)
    ranked = sorted(
        (
            (*rough_cycles(config, problem, memory, timing, t), t)
            for t in candidates(config, problem)
        ),
        key=lambda item: item[:2],
    )
    best: Schedule | None = None
    least, reason, effort = math.inf, "", 0
    for _, instructions, tiling in ranked:
        if best is not None and effort + instructions > EFFORT:
            break
        effort += max(instructions, EFFORT // MOST_PREDICTIONS)
        try:
            plan = place_layers(config, [Layer(problem, tiling, layout)])
        except Unsupported as error:
            reason = error.message
            continue
        program, _ = emit(plan, [None], memory, timing)
        prediction = predict(program, config, memory, timing)
        score = _score(prediction, len(program))
        if score < least:
            least = score
            best = Schedule(config, problem, memory, plan, tuple(program), prediction)
    if best is None:
        raise Unsupported(
            f"gemm {problem.name} fits {config.name} under no tiling" + (reason and f": {reason}"),
            "choose a larger preset or split the problem",
        )
    return best
