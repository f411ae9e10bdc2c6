"""From a plan to instructions: fields, semaphores, and the order in which they are fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft.compiler.cost.predict import simulate_units
from weft.compiler.cost.timing import TIMING, Timing
from weft.compiler.graph.matmul import GemmConstants, GemmProblem
from weft.dram import MemoryModel
from weft_hw.isa import Instruction, Opcode, ResultType, Unit

from .plan import Load, Plan, Step, Store

__all__ = [
    "COMPUTE_TO_LOAD",
    "COMPUTE_TO_STORE",
    "LOAD_TO_COMPUTE",
    "STORE_TO_COMPUTE",
    "emit",
    "fetch_order",
]

#: Each semaphore is posted by one unit and waited on by one. Units retire in order, so a single one
#: per pair suffices: only the last of the instructions that a waiter needs posts.
LOAD_TO_COMPUTE, COMPUTE_TO_LOAD, COMPUTE_TO_STORE, STORE_TO_COMPUTE = range(4)


def _setup(
    plan: Plan, problem: GemmProblem, constants: GemmConstants | None, rows: int
) -> Instruction:
    pitch = plan.result_pitch // 4
    column = plan.config.cols * problem.result_type.bytes // 4
    fields = {
        "result_type": int(problem.result_type),
        "result_jump0": pitch,
        "result_jump1": -(rows - 1) * pitch,
        "result_jump2": column - (rows - 1) * pitch,
        "parameter_jump2": plan.config.cols // 2,
        "table_enable": int(problem.table),
    }
    if constants is not None and problem.result_type is not ResultType.INT32:
        fields |= {
            "pre": constants.pre,
            "zero_point": constants.zero_point,
            "low": constants.low,
            "high": constants.high,
        }
    return Instruction(Opcode.SETUP, fields=fields)


def _matmul(plan: Plan, step: Step, waits: tuple[int, ...], posts: tuple[int, ...]) -> Instruction:
    line, h = plan.config.line_bytes, plan.config.tile_words
    back = (step.rows - 1) * step.act_pitch
    return Instruction(
        Opcode.MATMUL,
        waits,
        posts,
        {
            "count0": step.rows,
            "count1": step.k_tiles,
            "count2": step.n_tiles,
            "count3": 1,
            "count4": 1,
            "count5": 1,
            "tile_levels": 1,
            "reduction": 0b10,
            "first": int(step.first),
            "last": int(step.last),
            "act_address": step.act // 4,
            "act_jump0": step.act_pitch // 4,
            "act_jump1": (line - back) // 4,
            "act_jump2": (-(step.k_tiles - 1) * line - back) // 4,
            "weight_address": step.weight,
            "weight_jump1": h,
            "weight_jump2": step.weight_n - (step.k_tiles - 1) * h,
            "acc_address": step.acc,
            "acc_jump0": 1,
            "acc_jump1": 1 - step.rows,
            "acc_jump2": step.acc_n - (step.rows - 1),
            "result_address": step.result // 4,
            "parameter_address": step.parameter,
        },
    )


def _transfer(
    opcode: Opcode, item: Load | Store, space: int, waits: tuple[int, ...], posts: tuple[int, ...]
) -> Instruction:
    fields = {
        "space": space,
        "dram_offset": item.dram,
        "dram_pitch": item.dram_pitch,
        "rows": item.rows,
        "bytes": item.bytes,
        "chip_address": item.chip // 4,
        "chip_pitch": item.chip_pitch // 4,
    }
    return Instruction(opcode, waits, posts, fields)


def _links(after: list[int]) -> tuple[list[bool], set[int]]:
    """(which waiters wait, which of the others post) when each needs all up to ``after[i]``."""
    waits, posts, known = [], set(), -1
    for index in after:
        waits.append(index > known)
        if index > known:
            known = index
            posts.add(index)
    return waits, posts


def _units(
    plan: Plan, problem: GemmProblem, constants: GemmConstants | None
) -> dict[Unit, list[Instruction]]:
    """Instructions of each unit, in order."""
    load_waits, step_posts_load = _links([x.after_step for x in plan.loads])
    step_waits_load, load_posts = _links([x.after_load for x in plan.steps])
    step_waits_store, store_posts = _links([x.after_store for x in plan.steps])
    store_waits, step_posts_store = _links([x.after_step for x in plan.stores])

    def numbers(*pairs: tuple[bool, int]) -> tuple[int, ...]:
        return tuple(number for wanted, number in pairs if wanted)

    loads = [
        _transfer(
            Opcode.LOAD,
            item,
            int(item.space),
            numbers((load_waits[i], COMPUTE_TO_LOAD)),
            numbers((i in load_posts, LOAD_TO_COMPUTE)),
        )
        for i, item in enumerate(plan.loads)
    ]
    compute: list[Instruction] = []
    rows = 0
    for i, step in enumerate(plan.steps):
        if step.rows != rows:
            rows = step.rows
            compute.append(_setup(plan, problem, constants, rows))
        compute.append(
            _matmul(
                plan,
                step,
                numbers(
                    (step_waits_load[i], LOAD_TO_COMPUTE), (step_waits_store[i], STORE_TO_COMPUTE)
                ),
                numbers(
                    (i in step_posts_load, COMPUTE_TO_LOAD),
                    (i in step_posts_store, COMPUTE_TO_STORE),
                ),
            )
        )
    stores = [
        _transfer(
            Opcode.STORE,
            item,
            0,
            numbers((store_waits[i], COMPUTE_TO_STORE)),
            numbers((i in store_posts, STORE_TO_COMPUTE)),
        )
        for i, item in enumerate(plan.stores)
    ]
    return {Unit.LOAD: loads, Unit.COMPUTE: compute, Unit.STORE: stores}


def fetch_order(
    work: Mapping[Unit, Sequence[Instruction]], starts: Mapping[Unit, Sequence[float]]
) -> list[Instruction]:
    """All instructions in the order in which they start; of those at one time, by priority."""
    keyed = [
        (start, place, index, unit)
        for place, (unit, times) in enumerate(starts.items())
        for index, start in enumerate(times)
    ]
    return [work[unit][index] for _, _, index, unit in sorted(keyed)]


def emit(
    plan: Plan,
    memory: MemoryModel,
    constants: GemmConstants | None = None,
    timing: Timing = TIMING,
) -> list[Instruction]:
    """The program of a plan.

    Fetch stops at a full queue, so the order between units decides how far loads run ahead. The
    units are simulated without queues, and instructions are fetched in the order in which they
    start. What an instruction waits for has ended, hence started, before it: no order of this kind
    can deadlock.
    """
    work = _units(plan, plan.problem, constants)
    starts = simulate_units(work, plan.config, memory, timing)
    return [*fetch_order(work, starts), Instruction(Opcode.END)]
