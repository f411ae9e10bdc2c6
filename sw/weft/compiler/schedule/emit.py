"""From a plan to instructions: fields, semaphores, and the order in which they are fetched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TypeVar

from weft.compiler.cost.predict import simulate_units
from weft.compiler.cost.timing import TIMING, Timing
from weft.compiler.graph.requant import Requant
from weft.dram import MemoryModel
from weft.program.window_nest import BLOCK_LEVEL, ROW_LEVEL
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import LOOP_LEVELS, SEMAPHORE_MAX, Instruction, Opcode, Unit

from .nest import jumps_of
from .plan import Load, Plan, Slide, Step, Store

__all__ = ["Queue", "emit", "fetch_order", "queues_of"]

#: Each semaphore is posted by one unit and waited on by one. Units retire in order, so a single one
#: per pair suffices: only the last of the instructions that a waiter needs posts.
(
    LOAD_TO_COMPUTE,
    COMPUTE_TO_LOAD,
    COMPUTE_TO_STORE,
    STORE_TO_COMPUTE,
    STORE_TO_LOAD,
    LOAD_TO_STORE,
    LOAD_TO_DEPTHWISE,
    DEPTHWISE_TO_LOAD,
    DEPTHWISE_TO_STORE,
    STORE_TO_DEPTHWISE,
    DEPTHWISE_TO_COMPUTE,
    COMPUTE_TO_DEPTHWISE,
) = range(12)
#: Posts of loads that no step has taken yet, at most; steps post back as often, so that twice as
#: many are never there.
_AHEAD = SEMAPHORE_MAX // 2


def _scale(requant: Requant) -> dict[str, int]:
    """How sums become int8, in fields."""
    return {
        "pre": requant.pre,
        "zero_point": requant.zero_point,
        "low": requant.low,
        "high": requant.high,
    }


def _setup(plan: Plan, step: Step, requant: Requant | None) -> Instruction:
    """How a step makes results."""
    problem = plan.layers[step.layer].problem
    fields = {
        "result_type": int(problem.result_type),
        **step.nest.setup_fields(),
        "table_enable": int(problem.table),
        "table": step.table,
        "maximum": int(problem.maximum),
        "residual": int(problem.residual),
    }
    if requant is not None:
        fields |= _scale(requant) | {
            "residual_zero_point": requant.residual_zero_point,
            "residual_multiplier": requant.residual_multiplier or 0,
        }
    return Instruction(Opcode.SETUP, fields=fields)


def _matmul(step: Step, waits: tuple[int, ...], posts: tuple[int, ...]) -> Instruction:
    return Instruction(
        Opcode.MATMUL,
        waits,
        posts,
        {
            **step.nest.matmul_fields(),
            "first": int(step.first),
            "last": int(step.last),
            "act_address": step.act // 4,
            "weight_address": step.weight,
            "acc_address": step.acc,
            "result_address": step.result // 4,
            "parameter_address": step.parameter,
        },
    )


def _slide(
    plan: Plan,
    slide: Slide,
    requant: Requant | None,
    waits: tuple[int, ...],
    posts: tuple[int, ...],
) -> Instruction:
    counts = [*slide.counts] + [1] * (LOOP_LEVELS - len(slide.counts))
    results = [*counts]
    results[ROW_LEVEL] -= slide.skip
    fields = {f"count{level}": count for level, count in enumerate(counts)}
    fields |= jumps_of("act_jump", counts, [step // 4 for step in slide.act_steps])
    steps = [step // 4 for step in slide.result_steps]
    fields |= jumps_of("result_jump", results, steps, ROW_LEVEL)
    fields |= {
        "fire": slide.fire,
        "skip": slide.skip,
        "delay1": slide.delays[0],
        "delay2": slide.delays[1],
        "act_address": slide.act // 4,
        "result_address": slide.result // 4,
        "tap_address": slide.tap,
        f"tap_jump{BLOCK_LEVEL}": slide.tap_step,
        "table_enable": int(plan.layers[slide.layer].problem.table),
        "table": slide.table,
    }
    if requant is not None:
        fields |= _scale(requant)
    return Instruction(Opcode.DEPTHWISE, waits, posts, fields)


def _transfer(
    opcode: Opcode, item: Load | Store, waits: tuple[int, ...], posts: tuple[int, ...]
) -> Instruction:
    fields = {
        "space": int(item.space) if isinstance(item, Load) else 0,
        "dram_offset": item.dram,
        "dram_pitch": item.dram_pitch,
        "rows": item.rows,
        "bytes": item.bytes,
        "chip_address": item.chip // 4,
        "chip_pitch": item.chip_pitch // 4,
    }
    if isinstance(item, Load) and item.fill is not None:
        fields |= {"fill": 1, "fill_value": item.fill}
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


#: Steps of one unit, each with its place in the plan.
Steps = list[tuple[int, Step | Slide]]


def _until(steps: Steps, after: Sequence[int]) -> list[int]:
    """For each place in the plan, the last of `steps` up to there, or -1."""
    places = [place for place, _ in steps]
    return [bisect_right(places, index) - 1 for index in after]


def _exactly(steps: Steps, after: Sequence[int]) -> list[int]:
    """For each place in the plan, which of `steps` is there, or -1: it is another unit's."""
    known = {place: index for index, (place, _) in enumerate(steps)}
    return [known.get(index, -1) for index in after]


def _steps_before(plan: Plan, steps: Steps) -> list[int]:
    """The last of `steps` that each load waits for; later ones where a semaphore would overflow.

    Loads run ahead as long as there is room on chip. So that they never are more posts ahead of the
    steps than the semaphore counts, a load that posts waits for the step that an earlier one is
    for. That step needs only loads before this one.
    """
    after = _until(steps, [x.after_step for x in plan.loads])
    waits, posts = _links([x.after_load for _, x in steps])
    takers = [index for index, is_waiting in enumerate(waits) if is_waiting]
    for count, load in enumerate(sorted(posts)):
        if count >= _AHEAD:
            after[load] = max(after[load], takers[count - _AHEAD])
    return after


def _stores_before(plan: Plan) -> list[int]:
    """The last store that each load waits for; later ones where a semaphore would overflow.

    When a layer stores, the loads of the layers before it have started. Of those that may not have,
    as many as the semaphore counts wait for a post each; the last of these also waits for what the
    loads behind it need, as far as earlier layers store it.
    """
    loads, after = plan.loads, [x.after_store for x in plan.loads]
    waiting: list[int] = []
    known = -1
    for index, store in enumerate(after):
        if store <= known:
            continue
        known, layer = store, plan.stores[store].layer
        late = waiting[-SEMAPHORE_MAX:]
        full = len(late) == SEMAPHORE_MAX and loads[late[0]].layer >= layer
        if full and loads[late[-1]].layer > layer:
            after[late[-1]] = store
        else:
            waiting.append(index)
    return after


#: Instructions of one unit in its order, each with the layer that it works for.
Queue = list[tuple[Instruction, int]]
Item = TypeVar("Item")


def queues_of(plan: Plan, requants: Sequence[Requant | None]) -> dict[Unit, Queue]:
    """What each unit has to do, in its order.

    Parameters
    ----------
    requants : of each layer; None leaves the fields zero, which cycles do not depend on.
    """
    placed = list(enumerate(plan.steps))
    products: Steps = [(place, x) for place, x in placed if isinstance(x, Step)]
    slides: Steps = [(place, x) for place, x in placed if isinstance(x, Slide)]
    links = {
        COMPUTE_TO_LOAD: _links(_steps_before(plan, products)),
        DEPTHWISE_TO_LOAD: _links(_steps_before(plan, slides)),
        STORE_TO_LOAD: _links(_stores_before(plan)),
        LOAD_TO_COMPUTE: _links([x.after_load for _, x in products]),
        LOAD_TO_DEPTHWISE: _links([x.after_load for _, x in slides]),
        STORE_TO_COMPUTE: _links([x.after_store for _, x in products]),
        STORE_TO_DEPTHWISE: _links([x.after_store for _, x in slides]),
        COMPUTE_TO_STORE: _links(_exactly(products, [x.after_step for x in plan.stores])),
        DEPTHWISE_TO_STORE: _links(_exactly(slides, [x.after_step for x in plan.stores])),
        LOAD_TO_STORE: _links([x.after_load for x in plan.stores]),
        DEPTHWISE_TO_COMPUTE: _links(
            _until(slides, [x.after_slide for _, x in products if isinstance(x, Step)])
        ),
        COMPUTE_TO_DEPTHWISE: _links(
            _until(products, [x.after_product for _, x in slides if isinstance(x, Slide)])
        ),
    }

    def waits(index: int, *numbers: int) -> tuple[int, ...]:
        return tuple(number for number in numbers if links[number][0][index])

    def posts(index: int, *numbers: int) -> tuple[int, ...]:
        return tuple(number for number in numbers if index in links[number][1])

    def transfers(
        opcode: Opcode, items: Sequence[Load | Store], before: Sequence[int], then: Sequence[int]
    ) -> Queue:
        return [
            (_transfer(opcode, item, waits(i, *before), posts(i, *then)), item.layer)
            for i, item in enumerate(items)
        ]

    loads = transfers(
        Opcode.LOAD,
        plan.loads,
        (COMPUTE_TO_LOAD, DEPTHWISE_TO_LOAD, STORE_TO_LOAD),
        (LOAD_TO_COMPUTE, LOAD_TO_DEPTHWISE, LOAD_TO_STORE),
    )
    stores = transfers(
        Opcode.STORE,
        plan.stores,
        (COMPUTE_TO_STORE, DEPTHWISE_TO_STORE, LOAD_TO_STORE),
        (STORE_TO_COMPUTE, STORE_TO_DEPTHWISE, STORE_TO_LOAD),
    )
    compute: Queue = []
    in_force: Instruction | None = None
    for i, (_, step) in enumerate(products):
        assert isinstance(step, Step)
        setup = _setup(plan, step, requants[step.layer])
        if setup != in_force:
            in_force = setup
            compute.append((setup, step.layer))
        matmul = _matmul(
            step,
            waits(i, LOAD_TO_COMPUTE, STORE_TO_COMPUTE, DEPTHWISE_TO_COMPUTE),
            posts(i, COMPUTE_TO_LOAD, COMPUTE_TO_STORE, COMPUTE_TO_DEPTHWISE),
        )
        compute.append((matmul, step.layer))
    depthwise: Queue = []
    for i, (_, slide) in enumerate(slides):
        assert isinstance(slide, Slide)
        before = waits(i, LOAD_TO_DEPTHWISE, STORE_TO_DEPTHWISE, COMPUTE_TO_DEPTHWISE)
        then = posts(i, DEPTHWISE_TO_LOAD, DEPTHWISE_TO_STORE, DEPTHWISE_TO_COMPUTE)
        instruction = _slide(plan, slide, requants[slide.layer], before, then)
        depthwise.append((instruction, slide.layer))
    work = {Unit.LOAD: loads, Unit.COMPUTE: compute, Unit.STORE: stores}
    return work | ({Unit.DEPTHWISE: depthwise} if depthwise else {})


def fetch_order(
    work: Mapping[Unit, Sequence[Item]], starts: Mapping[Unit, Sequence[float]]
) -> list[Item]:
    """All items in the order in which they start; of those at one time, by priority of units."""
    keyed = [
        (start, place, index, unit)
        for place, (unit, times) in enumerate(starts.items())
        for index, start in enumerate(times)
    ]
    return [work[unit][index] for _, _, index, unit in sorted(keyed)]


def emit(
    work: Mapping[Unit, Queue],
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing = TIMING,
) -> tuple[list[Instruction], list[int]]:
    """(the program that does `work`, the layer that each instruction but the last works for).

    Parameters
    ----------
    work : what :func:`queues_of` gives

    Fetch stops at a full queue, so the order between units decides how far loads run ahead. The
    units are simulated without queues, and instructions are fetched in the order in which they
    start. What an instruction waits for has ended, hence started, before it: no order of this kind
    can deadlock.
    """
    queues = {unit: [instruction for instruction, _ in queue] for unit, queue in work.items()}
    starts = simulate_units(queues, config, memory, timing)
    program = fetch_order(work, starts)
    return [*(i for i, _ in program), Instruction(Opcode.END)], [layer for _, layer in program]
