"""Runs a whole program on a State, through the queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weft.errors import DeviceError
from weft.program.queues import Deadlock, QueueMachine, SemaphoreOverflow
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    ERROR_TEXT,
    ErrorCode,
    Instruction,
    InstructionError,
    Opcode,
    ResultType,
    Unit,
    check,
)

from .instructions import EXECUTE
from .state import State, Stop

__all__ = ["execute"]

#: A program runs many times, and programs of one shape share most instructions.
_check = lru_cache(maxsize=1 << 14)(check)


def _stopped(code: ErrorCode, index: int, detail: str) -> DeviceError:
    return DeviceError(
        f"instruction {index} stopped the core with {code.name}, {ERROR_TEXT[code]}: {detail}",
        error_code=int(code),
        instruction=index,
    )


def execute(
    config: AcceleratorConfig,
    program: Sequence[Instruction],
    arena: NDArray[np.uint8],
    *,
    choose: Callable[[list[Unit]], Unit] | None = None,
    meaning: Mapping[Opcode, Callable[[State, Instruction], None]] = EXECUTE,
) -> State:
    """Run `program` from cleared on-chip memories; `arena`, uint8 [arena_bytes], is changed.

    Parameters
    ----------
    choose : which of the ready units goes next; see :class:`weft.program.queues.QueueMachine`.
    meaning : what each opcode does to a State.

    Returns
    -------
    State
        All memories after the run.

    Raises
    ------
    DeviceError
        The core would stop; with its error code and instruction index. A deadlock is WATCHDOG.
    """
    state = State(config, arena)
    result_type = ResultType.INT8

    def dispatch(index: int, instruction: Instruction) -> None:
        nonlocal result_type
        try:
            _check(instruction, config, result_type)
        except InstructionError as error:
            raise _stopped(error.code, index, str(error)) from error
        if instruction.opcode is Opcode.SETUP:
            result_type = ResultType(instruction["result_type"])

    machine = QueueMachine(config, dispatch, choose)
    opcode = None
    try:
        for index in machine.run(program):
            opcode = program[index].opcode
            try:
                meaning[opcode](state, program[index])
            except Stop as stop:
                raise _stopped(stop.code, index, str(stop)) from stop
    except SemaphoreOverflow as error:
        raise _stopped(error.code, error.index, str(error)) from error
    except Deadlock as error:
        raise _stopped(ErrorCode.WATCHDOG, error.dispatcher, str(error)) from error
    if opcode is not Opcode.END:
        raise _stopped(ErrorCode.PROGRAM_END, len(program), "there is no next instruction")
    return state
