"""All checks of a program, in the order in which they can rely on each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from weft.errors import ProgramRefused
from weft.program import Program, TensorSpec
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    INSTRUCTION_BYTES,
    Instruction,
    InstructionError,
    Opcode,
    ResultType,
    check,
)

from .accesses import Memory, Touched, analyse, refuse
from .accumulators import check_accumulators
from .defined import check_defined
from .hazards import check_hazards
from .order import Order, execution_order
from .parameters import check_parameters
from .regions import MAX_BLOCKS, Region, overlap
from .taps import check_taps
from .weights import check_weights

__all__ = ["MAX_COMBINATIONS", "verify"]

#: Combinations of values of patches that are verified, one by one.
MAX_COMBINATIONS = 256


def verify(program: Program) -> None:
    """Refuse a program without a defined result.

    A program with patches is verified for every combination of their values, and for runs of all
    of these on the same states.

    Raises
    ------
    ProgramRefused
        Names the rule, the instruction, its node and what it conflicts with.
    """
    count = math.prod(p.high - p.low + 1 for p in program.patches.values())
    if count > MAX_COMBINATIONS:
        raise ProgramRefused(
            f"the patches have {count} combinations of values, at most {MAX_COMBINATIONS} are "
            "verified",
            "verify program.patched(values) for the values of each run",
            rule="patches",
        )
    runs = []
    ranges = [range(p.low, p.high + 1) for p in program.patches.values()]
    for values in itertools.product(*ranges):
        given = dict(zip(program.patches, values))
        with _of(program, given):
            runs.append((given, _check(program.patched(given) if given else program)))
    # What a run leaves in a state, the next finds there, with whatever patches.
    doubts = [
        any(b"\x80" in data for at, data in program.first_values if s.offset <= at < s.end)
        for s in program.states.values()
    ]
    while True:
        found = list(doubts)
        for given, check_weights_of in runs:
            with _of(program, given):
                found = [a or b for a, b in zip(found, check_weights_of(doubts))]
        if found == doubts:
            return
        doubts = found


@contextmanager
def _of(program: Program, values: Mapping[str, int]) -> Iterator[None]:
    """Say of a refusal which node and which values of patches it is about."""
    try:
        yield
    except ProgramRefused as error:
        node = program.node_of(error.index)
        where = [f"node {node}"] if node else []
        where += [f"{name}={value}" for name, value in values.items()]
        if where:
            error.message = f"{', '.join(where)}: {error.message}"
        raise


def _check(program: Program) -> Callable[[Sequence[bool]], list[bool]]:
    """Make all checks of a program without patches but that of weights, and return that one.

    It takes for each state whether it may hold -128 before the run, and gives the same for after.
    """
    instructions, config = program.instructions, program.config
    _check_fields(instructions, config)
    touched = analyse(instructions, config, program.arena_bytes)
    _check_stores(program, touched)
    execution = execution_order(instructions, config)
    order = Order(instructions, execution)
    check_hazards(instructions, touched, order)
    check_accumulators(instructions, touched, config, order)
    constants = [*program.constants, (program.program_offset, program.encoded)]
    check_parameters(instructions, constants)
    check_taps(instructions, config, execution, constants)
    inputs = [_region(s) for s in program.inputs.values()]
    states = [Region(s.offset, s.end - s.offset) for s in program.states.values()]
    given = [*(Region(at, len(data)) for at, data in constants), *inputs, *states]
    outputs = {name: _region(s) for name, s in program.outputs.items()}
    run = instructions, touched, config, execution, program.arena_bytes
    check_defined(*run, given, outputs)
    return lambda doubts: check_weights(*run, constants, inputs, list(zip(states, doubts)))


def _region(spec: TensorSpec) -> Region:
    """The runs of an input or an output."""
    region = Region.of(spec.offset, spec.run_bytes, spec.run_levels)
    runs = math.prod(count for _, count in spec.run_levels)
    if not region.levels and region.size != runs * spec.run_bytes:
        raise ProgramRefused(
            f"tensor {spec.name!r} has {runs} runs, at most {MAX_BLOCKS} are verified",
            "let them lie next to each other",
            rule="size",
        )
    return region


def _check_fields(instructions: Sequence[Instruction], config: AcceleratorConfig) -> None:
    kind: ResultType | None = None
    for index, instruction in enumerate(instructions):
        opcode, at = instruction.opcode, f"instruction {index}:"
        try:
            check(instruction, config, kind or ResultType.INT8)
        except InstructionError as error:
            refuse(index, "field", f"{at} {error}")
        if opcode is Opcode.SETUP:
            low, high = instruction["low"], instruction["high"]
            if low > high:
                message = f"{at} SETUP: low must not exceed high, not {low} and {high}"
                refuse(index, "field", message)
            kind = ResultType(instruction["result_type"])
        if opcode is Opcode.MATMUL and kind is None:
            message = f"{at} MATMUL stands before the first SETUP"
            refuse(index, "undefined", message, "put a SETUP in front of it")
        is_last = index == len(instructions) - 1
        if (opcode is Opcode.END) is not is_last:
            fault = "ends the program" if is_last else "stands before the end"
            refuse(index, "end", f"{at} {opcode.name} {fault}", "put END last, once")


def _check_stores(program: Program, touched: Sequence[Touched]) -> None:
    code = Region(program.program_offset, len(program.instructions) * INSTRUCTION_BYTES)
    kept = [("the program", code)]
    constants = set(program.constants) - set(program.first_values)
    kept += [(f"the constant at {at}", Region(at, len(data))) for at, data in sorted(constants)]
    for index, item in enumerate(touched):
        for access in item.accesses:
            if access.memory is Memory.ARENA and access.is_write:
                for what, region in kept:
                    if overlap(access.region, region):
                        message = f"instruction {index}: STORE writes over {what}"
                        refuse(index, "program", message)
