"""All checks of a program, in the order in which they can rely on each other."""

from __future__ import annotations

from collections.abc import Sequence

from weft.errors import ProgramRefused
from weft.program import Program
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    INSTRUCTION_BYTES,
    Instruction,
    InstructionError,
    Opcode,
    ResultType,
    check,
)

from .accesses import Memory, Touched, analyse
from .accumulators import check_accumulators
from .defined import check_defined
from .hazards import check_hazards
from .order import Order, execution_order
from .regions import Region, overlap
from .weights import check_weights

__all__ = ["verify"]


def verify(program: Program) -> None:
    """Refuse a program without a defined result.

    Raises
    ------
    ProgramRefused
        Names the rule, the instruction and what it conflicts with.
    """
    instructions, config = program.instructions, program.config
    _check_fields(instructions, config)
    touched = analyse(instructions, config, program.arena_bytes)
    _check_stores(program, touched)
    execution = execution_order(instructions, config)
    order = Order(instructions, execution)
    check_hazards(instructions, touched, order)
    check_accumulators(instructions, touched, config, order)
    check_defined(instructions, touched, config, execution)
    constants = [*program.constants, (program.program_offset, program.encoded)]
    inputs = [
        Region.of(s.offset, s.run_bytes, s.run_levels)
        for s in program.inputs.values()
    ]
    check_weights(
        instructions, touched, config, execution, program.arena_bytes, constants, inputs
    )


def _check_fields(instructions: Sequence[Instruction], config: AcceleratorConfig) -> None:
    kind: ResultType | None = None
    for index, instruction in enumerate(instructions):
        try:
            check(instruction, config, kind or ResultType.INT8)
        except InstructionError as error:
            raise ProgramRefused(
                f"instruction {index}: {error}", rule="field", index=index
            ) from error
        if instruction.opcode is Opcode.SETUP:
            low, high = instruction["low"], instruction["high"]
            if low > high:
                raise ProgramRefused(
                    f"instruction {index}: SETUP: low must not exceed high, not {low} and {high}",
                    rule="field",
                    index=index,
                )
            kind = ResultType(instruction["result_type"])
        if instruction.opcode is Opcode.MATMUL and kind is None:
            raise ProgramRefused(
                f"instruction {index}: MATMUL stands before the first SETUP",
                "put a SETUP in front of it",
                rule="undefined",
                index=index,
            )
        is_last = index == len(instructions) - 1
        if (instruction.opcode is Opcode.END) is not is_last:
            raise ProgramRefused(
                f"instruction {index}: {instruction.opcode.name} "
                + ("ends the program" if is_last else "stands before the end"),
                "put END last, once",
                rule="end",
                index=index,
            )


def _check_stores(program: Program, touched: Sequence[Touched]) -> None:
    code = Region(program.program_offset, len(program.instructions) * INSTRUCTION_BYTES)
    kept = [("the program", code)]
    kept += [(f"the constant at {at}", Region(at, len(data))) for at, data in program.constants]
    for index, item in enumerate(touched):
        for access in item.accesses:
            if access.memory is Memory.ARENA and access.is_write:
                for what, region in kept:
                    if overlap(access.region, region):
                        raise ProgramRefused(
                            f"instruction {index}: STORE writes over {what}",
                            rule="program",
                            index=index,
                        )
