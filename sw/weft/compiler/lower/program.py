"""From a problem and its constants to a program."""

from __future__ import annotations

import dataclasses

from weft.compiler.cost.timing import TIMING, Timing
from weft.compiler.graph.matmul import GemmConstants, GemmProblem
from weft.compiler.schedule.emit import emit
from weft.compiler.schedule.plan import REGION_ALIGN, round_up
from weft.compiler.schedule.search import Schedule, check_arena, schedule_gemm
from weft.dram import MemoryModel
from weft.errors import UsageError
from weft.program import Program, TensorSpec
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES

from .constants import pack_parameters, pack_weights

__all__ = ["compile_gemm"]


def compile_gemm(
    config: AcceleratorConfig,
    problem: GemmProblem,
    constants: GemmConstants,
    memory_model: MemoryModel | None = None,
    timing: Timing = TIMING,
    schedule: Schedule | None = None,
) -> Program:
    """Program that reads tensor ``a`` int8 [M, K] and writes tensor ``out`` [M, N].

    Parameters
    ----------
    memory_model : MemoryModel, optional
        The DRAM that the schedule is chosen for; that of the board of `config` by default.
    schedule : Schedule, optional
        Of a problem of the same shape and result type, which saves the search.

    Returns
    -------
    Program
        ``metadata`` holds m, k, n, macs, bytes_read, bytes_written, predicted_cycles,
        roofline_cycles and the schedule.

    Raises
    ------
    UsageError
        The constants do not belong to the problem.
    Unsupported
        The problem does not fit the accelerator.
    """
    constants.check(problem)
    if schedule is None:
        schedule = schedule_gemm(config, problem, memory_model, constants, timing)
    elif (schedule.problem, schedule.config) != (problem, config):
        raise UsageError(f"gemm: the schedule is for {schedule.problem.name}, not {problem.name}")
    else:
        program = emit(schedule.plan, schedule.memory, constants, timing)
        schedule = dataclasses.replace(schedule, instructions=tuple(program))
    layout = schedule.plan.layout
    program_offset = layout.end
    arena = round_up(program_offset + len(schedule.instructions) * INSTRUCTION_BYTES, REGION_ALIGN)
    check_arena(problem, arena)
    pieces = [
        (layout.weights, pack_weights(config, constants.weights)),
        (
            layout.parameters,
            pack_parameters(config, constants),
        ),
    ]
    if constants.table is not None:
        pieces.append((layout.table, constants.table))
    m, k, n = problem.m, problem.k, problem.n
    dtype = problem.result_type.name.lower()
    return Program(
        config=config,
        instructions=schedule.instructions,
        program_offset=program_offset,
        arena_bytes=arena,
        constants=pieces,
        inputs={"a": TensorSpec("a", "int8", (m, k), layout.a, (layout.a_pitch,))},
        outputs={"out": TensorSpec("out", dtype, (m, n), layout.out, (layout.out_pitch,))},
        metadata={
            "kind": "gemm",
            "m": m,
            "k": k,
            "n": n,
            "macs": problem.macs,
            "bytes_read": problem.bytes_read,
            "bytes_written": problem.bytes_written,
            "predicted_cycles": schedule.prediction.cycles,
            "predicted_array_cycles": schedule.prediction.array_cycles,
            "roofline_cycles": schedule.roofline,
            "memory_model": schedule.memory.hash,
            "schedule": dataclasses.asdict(schedule.plan.tiling),
        },
    )
