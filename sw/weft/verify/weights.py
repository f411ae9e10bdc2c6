"""No weight is -128: packed cells multiply -127..127 only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import ProgramRefused
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import Instruction, Opcode, ResultType, Space, space_words
from weft_hw.numerics import WEIGHT_MIN

from .accesses import Memory, Touched, refuse
from .regions import Region, overlap

__all__ = ["MAX_FOLLOWED_BYTES", "check_weights"]

#: -128 as a byte.
_LOWEST = b"\x80"
#: Arena in which bytes are followed one by one: that of a PYNQ-Z2 is no larger.
MAX_FOLLOWED_BYTES = 512 << 20
_FOLLOWED = (Space.SCRATCHPAD, Space.TABLES)

Flags = NDArray[np.bool_]


def check_weights(
    instructions: Sequence[Instruction],
    touched: Sequence[Touched],
    config: AcceleratorConfig,
    order: Sequence[int],
    arena_bytes: int,
    constants: Sequence[tuple[int, bytes]],
    inputs: Sequence[Region] = (),
    states: Sequence[tuple[Region, bool]] = (),
) -> list[bool]:
    """Follow the bytes that may be -128 through one legal order of execution.

    Those are the bytes 0x80 of constants, all of inputs, of the scratchpad before the run and of
    what the program stores before it stores it, results without an int8 clamp at -127 or above,
    and all of a state that may hold one.

    Parameters
    ----------
    constants : sequence of (offset, bytes)
        What lies in the arena at the start, the program itself included; the rest is zero.
    inputs : sequence of Region
        Bytes of the arena that the host writes.
    states : sequence of (Region, whether it may hold -128 before the run)

    Returns
    -------
    For each state, whether it may hold -128 after the run.

    Raises
    ------
    ProgramRefused
        Rule ``weights``, at the load, or the fill. Rule ``size``: the arena is too large to follow
        its bytes.
    """
    for index, instruction in enumerate(instructions):
        if _is_load(instruction, Space.WEIGHTS) and _fills_lowest(instruction):
            message = f"instruction {index} (LOAD) fills weights with -128; they lie in "
            refuse(index, "weights", message + f"{WEIGHT_MIN}..127", "fill them with another value")
    accesses = [
        (instruction, access)
        for instruction, item in zip(instructions, touched, strict=True)
        for access in item.accesses
        if access.memory is Memory.ARENA
    ]
    stores = [access.region for _, access in accesses if access.is_write]
    loads = [access.region for i, access in accesses if _is_load(i, Space.WEIGHTS)]
    doubtful = [Region(at, len(data)) for at, data in constants if _LOWEST in data]
    doubtful += [*inputs, *stores, *(region for region, doubt in states if doubt)]
    if not any(overlap(load, region) for load in loads for region in doubtful):
        # Not followed, so whatever is stored into a state may be -128.
        return [doubt or any(overlap(r, store) for store in stores) for r, doubt in states]
    if arena_bytes > MAX_FOLLOWED_BYTES:
        raise ProgramRefused(
            f"bytes of a run may become weights, and the arena has {arena_bytes} bytes, at most "
            f"{MAX_FOLLOWED_BYTES} are followed",
            "make the arena smaller, or let only constants become weights",
            rule="size",
        )
    arena = np.zeros(arena_bytes, bool)
    for at, data in constants:
        arena[at : at + len(data)] = np.frombuffer(data, np.uint8) == _LOWEST[0]
    for region, doubt in (*((region, True) for region in (*inputs, *stores)), *states):
        _fill(arena, region, doubt)
    _follow(instructions, touched, config, order, arena)
    return [doubt or bool(arena[r.start : r.end].any()) for r, doubt in states]


def _is_load(instruction: Instruction, space: Space) -> bool:
    return instruction.opcode is Opcode.LOAD and instruction["space"] == space


def _fills_lowest(instruction: Instruction) -> bool:
    """Whether a LOAD fills with -128."""
    return bool(instruction["fill"]) and instruction["fill_value"] < WEIGHT_MIN


def _follow(
    instructions: Sequence[Instruction],
    touched: Sequence[Touched],
    config: AcceleratorConfig,
    order: Sequence[int],
    arena: Flags,
) -> None:
    """Move the flags of `arena`, bool [arena_bytes], as the program moves its bytes."""
    chip = {space: np.ones(4 * space_words(space, config), bool) for space in _FOLLOWED}
    setup: Instruction | None = None
    for index in order:
        instruction = instructions[index]
        if instruction.opcode is Opcode.SETUP:
            setup = instruction
        elif instruction.opcode in (Opcode.MATMUL, Opcode.DEPTHWISE):
            settings = setup if instruction.opcode is Opcode.MATMUL else instruction
            doubt = settings is None or _may_be_lowest(settings, chip[Space.TABLES])
            for access in touched[index].accesses:
                if access.memory is Memory.SCRATCHPAD and access.is_write:
                    _fill(chip[Space.SCRATCHPAD], access.region, doubt)
        elif _is_load(instruction, Space.WEIGHTS):
            if not instruction["fill"]:
                _check_load(index, instruction, arena)
        elif instruction.opcode in (Opcode.LOAD, Opcode.STORE):
            memory = chip.get(Space(instruction["space"]))
            if memory is not None:
                _move(instruction, arena, memory)


def _may_be_lowest(setup: Instruction, tables: Flags) -> bool:
    """Whether a result under `setup`, a SETUP or a DEPTHWISE, may have a byte of -128."""
    if setup.opcode is Opcode.SETUP and setup["result_type"] != ResultType.INT8:
        return True
    if setup["table_enable"]:
        return bool(tables[256 * setup["table"] :][:256].any())
    return bool(setup["low"] < WEIGHT_MIN)


def _check_load(index: int, instruction: Instruction, arena: Flags) -> None:
    for start, _, size in _rows(instruction):
        part = arena[start : start + size]
        if part.any():
            at = start + int(np.argmax(part))
            refuse(
                index,
                "weights",
                f"instruction {index} (LOAD) takes arena byte {at} as a weight, which may be -128; "
                f"weights lie in {WEIGHT_MIN}..127",
                f"keep constants above -128, and let results that become weights be int8 with a "
                f"low of at least {WEIGHT_MIN}; inputs cannot become weights directly",
            )


def _move(instruction: Instruction, arena: Flags, chip: Flags) -> None:
    for dram, at, size in _rows(instruction):
        a, b = arena[dram : dram + size], chip[at : at + size]
        if instruction.opcode is Opcode.LOAD:
            b[...] = _fills_lowest(instruction) if instruction["fill"] else a
        else:
            a[...] = b


def _rows(instruction: Instruction) -> list[tuple[int, int, int]]:
    """(byte in the arena, byte on chip, bytes) of each row of a transfer."""
    get: Any = instruction.__getitem__
    dram, pitch, size = get("dram_offset"), get("dram_pitch"), get("bytes")
    chip, step = 4 * get("chip_address"), 4 * get("chip_pitch")
    return [(dram + r * pitch, chip + r * step, size) for r in range(get("rows"))]


def _fill(flags: Flags, region: Region, value: bool) -> None:
    for start, end in zip(*(x.tolist() for x in region.intervals()), strict=True):
        flags[start:end] = value
