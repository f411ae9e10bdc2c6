"""Choice of a tiling by predicted cycles."""

from __future__ import annotations

from dataclasses import dataclass

from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction

from ..errors import Unsupported
from ..memory_model import MemoryModel, for_config, roofline_cycles
from .emit import emit
from .plan import Plan, Tiling, build_plan, round_up
from .predict import TIMING, Prediction, Timing, predict
from .problem import GemmConstants, GemmProblem

__all__ = ["Schedule", "candidates", "schedule_gemm"]


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


def candidates(config: AcceleratorConfig, problem: GemmProblem) -> list[Tiling]:
    """Tilings worth a prediction; each one fits the memories of `config`."""
    kt, nt = problem.tiles(config)
    size, h = problem.result_type.bytes, config.tile_words
    column = config.cols * size
    grain = max(1, 16 // column)
    weight_tiles = config.weight_buffer_bytes // config.tile_bytes
    span = config.parameter_entries // config.cols
    columns = nt if nt <= span else span // 2
    resident_w = kt * nt <= weight_tiles
    bank = config.scratchpad_bank_bytes
    found: list[Tiling] = []
    top = min(problem.m, config.accumulator_rows)
    rows_options = sorted(
        {min(top, round_up(-(-problem.m // parts), 1)) for parts in (1, 2, 3, 4, 6, 8)}
        | {min(top, h * f) for f in (1, 2, 4, 8, 16)},
        reverse=True,
    )
    balanced = problem.m < 2 * h and not resident_w
    chunk = max(1, weight_tiles // 4)
    for rows in rows_options:
        seen: set[tuple[int, ...]] = set()
        for want in (128, 256, 512, 1 << 30):
            gather = min(columns, max(1, -(-want // column)))
            gather = min(columns, round_up(gather, grain))
            pitch = round_up(gather * column, 64)
            for banks in range(1, config.scratchpad_banks):
                out, act = banks * bank, (config.scratchpad_banks - banks) * bank
                buffers = 1 if rows >= problem.m and gather >= nt else 2
                if rows * pitch * buffers > out:
                    continue
                blocks = 1 if rows >= problem.m else 2
                fits = rows * kt * config.rows * blocks <= act
                streamed = min(kt, max(1, chunk // min(gather, chunk)))
                if not fits and rows * streamed * config.rows * 2 > act:
                    continue
                if (gather, int(fits)) in seen:
                    continue
                seen.add((gather, int(fits)))
                last = min(gather, round_up(max(1, -(-128 // column)), grain))
                for last_rows in (0, 2 * h) if rows >= 4 * h and not balanced else (0,):
                    found.append(
                        Tiling(
                            block_rows=rows,
                            gather=gather,
                            last_gather=last,
                            result_banks=banks,
                            chunk_tiles=chunk,
                            activations_resident=fits,
                            weights_resident=resident_w,
                            first_k=max(1, 64 // config.rows),
                            last_rows=last_rows,
                            balanced=balanced and fits,
                        )
                    )
    return found


def schedule_gemm(
    config: AcceleratorConfig,
    problem: GemmProblem,
    memory: MemoryModel | None = None,
    constants: GemmConstants | None = None,
    timing: Timing = TIMING,
) -> Schedule:
    """The best schedule found for `problem`; weights are not needed.

    Raises
    ------
    Unsupported
        Nothing fits; the sentence says what, and the remedy.
    """
    memory = memory or for_config(config)
    best: Schedule | None = None
    reason = ""
    for tiling in candidates(config, problem):
        try:
            plan = build_plan(config, problem, tiling)
        except Unsupported as error:
            reason = error.message
            continue
        program = emit(plan, memory, constants, timing)
        prediction = predict(program, config, memory, timing)
        if best is None or prediction.cycles < best.prediction.cycles:
            best = Schedule(config, problem, memory, plan, tuple(program), prediction)
    if best is None:
        raise Unsupported(
            f"gemm {problem.name} fits {config.name} under no tiling{': ' if reason else ''}{reason}",
            "choose a larger preset or split the problem",
        )
    return best
