"""What each instruction reads and writes, checked against the sizes of the memories."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from weft.errors import ProgramRefused
from weft.program.nest import MAX_TILE_ROWS, MAX_TILES, Affine, MatmulNest, grid
from weft.program.window_nest import MAX_READS, WindowNest
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import TAPS, Instruction, Opcode, ResultType, Space, space_words

from .regions import MAX_PROGRAM_BLOCKS, Region, overlap

__all__ = ["Access", "Memory", "Touched", "analyse", "refuse"]


class Memory(enum.Enum):
    """The arena, or the memory of a Space; more than one unit touches it. Addresses are bytes."""

    ARENA = "arena"
    SCRATCHPAD = "scratchpad"
    WEIGHTS = "weights"
    PARAMETERS = "parameters"
    TABLES = "tables"
    TAPS = "taps"


@dataclass(frozen=True)
class Access:
    """One instruction's reads, or writes, of one memory."""

    memory: Memory
    is_write: bool
    region: Region


@dataclass(frozen=True)
class Touched:
    """Everything that one instruction touches; `nest` is that of a MATMUL."""

    accesses: tuple[Access, ...]
    nest: MatmulNest | None = None


def refuse(index: int, rule: str, message: str, remedy: str = "") -> NoReturn:
    """Raise ProgramRefused because of the instruction `index`."""
    raise ProgramRefused(message, remedy, rule=rule, index=index)


def analyse(
    instructions: Sequence[Instruction], config: AcceleratorConfig, arena_bytes: int
) -> list[Touched]:
    """What each instruction touches.

    Raises
    ------
    ProgramRefused
        Rule ``range``: an address lies outside its memory. Rule ``size``: what is touched lies in
        more pieces than are verified. Rule ``hazard``: an instruction writes
        what it also reads or writes, in an order that is not defined.
    """
    found: list[Touched] = []
    setup: Instruction | None = None
    blocks = 0
    for index, instruction in enumerate(instructions):
        blocks += sum(a.region.blocks for a in found[-1].accesses) if found else 0
        if blocks > MAX_PROGRAM_BLOCKS:
            message = f"instructions 0..{index - 1} touch more than {MAX_PROGRAM_BLOCKS} blocks"
            refuse(index - 1, "size", message, "let addresses follow each other, or divide it")
        if instruction.opcode is Opcode.MATMUL:
            found.append(_matmul(index, instruction, setup, config))
        elif instruction.opcode in (Opcode.LOAD, Opcode.STORE):
            found.append(_transfer(index, instruction, config, arena_bytes))
        elif instruction.opcode is Opcode.DEPTHWISE:
            found.append(_depthwise(index, instruction, config))
        elif instruction.opcode in (Opcode.SETUP, Opcode.END):
            found.append(Touched(()))
            setup = instruction if instruction.opcode is Opcode.SETUP else setup
        else:
            name = instruction.opcode.name
            refuse(index, "field", f"instruction {index}: what {name} touches is not known")
    return found


def _refuse_range(index: int, what: str, low: int, end: int, limit: int, unit: str) -> None:
    if low < 0 or end > limit:
        message = f"instruction {index}: {what} reaches {unit} {low}..{end - 1}, "
        refuse(index, "range", message + f"it must stay within 0..{limit - 1}")


def _transfer(
    index: int, instruction: Instruction, config: AcceleratorConfig, arena_bytes: int
) -> Touched:
    get, is_load = instruction.__getitem__, instruction.opcode is Opcode.LOAD
    rows, size = get("rows"), get("bytes")
    dram = Region.of(get("dram_offset"), size, [(get("dram_pitch"), rows)])
    chip = Region.of(4 * get("chip_address"), size, [(4 * get("chip_pitch"), rows)])
    space = Space(get("space"))
    name = instruction.opcode.name
    _refuse_range(index, f"{name} in the arena", dram.start, dram.end, arena_bytes, "bytes")
    limit = 4 * space_words(space, config)
    memory = Memory[space.name]
    _refuse_range(index, f"{name} in {memory.value}", chip.start, chip.end, limit, "bytes")
    pitch = 4 * get("chip_pitch") if is_load else get("dram_pitch")
    if rows > 1 and pitch < size:
        where = memory.value if is_load else "the arena"
        refuse(
            index,
            "hazard",
            f"instruction {index}: rows of {size} bytes, {pitch} bytes apart, overlap in {where}, "
            f"and {name} writes rows in any order",
            "space them by at least their size",
        )
    on_chip = Access(memory, is_load, chip)
    if is_load and get("fill"):
        return Touched((on_chip,))
    return Touched((Access(Memory.ARENA, not is_load, dram), on_chip))


def _matmul(
    index: int, instruction: Instruction, setup: Instruction | None, config: AcceleratorConfig
) -> Touched:
    nest = MatmulNest(instruction, setup)
    if not nest.is_tractable:
        refuse(
            index,
            "size",
            f"instruction {index}: MATMUL has {nest.tiles} tiles of {nest.rows} rows, at most "
            f"{MAX_TILES} of {MAX_TILE_ROWS} are verified",
            "divide it into several",
        )
    within = functools.partial(_within, index)
    words, line = config.scratchpad_words, config.line_bytes // 4
    act = within("activation address", nest.act, line, words, "words", 4)
    limit, width = config.weight_words, config.weight_word_bytes
    weight = within("weight address", nest.weight, config.tile_words, limit, "words", width)
    within("accumulator address", nest.acc, 1, config.accumulator_rows, "rows", 1)
    accesses = [Access(Memory.SCRATCHPAD, False, act), Access(Memory.WEIGHTS, False, weight)]
    if nest.touches_parameters:
        limit, pairs = config.parameter_entries // 2, config.cols // 2
        region = within("parameter address", nest.parameter, pairs, limit, "pairs", 16)
        accesses.append(Access(Memory.PARAMETERS, False, region))
    if nest.writes_results:
        kind = ResultType(setup["result_type"]) if setup else ResultType.INT8
        row = config.cols * kind.bytes // 4
        result = within("result address", nest.result, row, words, "words", 4)
        accesses.append(Access(Memory.SCRATCHPAD, True, result))
        _refuse_clash(index, "MATMUL", act, result)
        if setup and setup["residual"]:
            accesses.append(Access(Memory.SCRATCHPAD, False, result))
            _check_distinct(index, nest, row, words)
        if setup and setup["table_enable"]:
            accesses.append(Access(Memory.TABLES, False, Region(256 * setup["table"], 256)))
    return Touched(tuple(accesses), nest)


def _within(
    index: int, what: str, affine: Affine, size: int, limit: int, unit: str, width: int
) -> Region:
    """`size` units of `width` bytes at each address, checked against `limit` units."""
    low, high = affine.bounds()
    _refuse_range(index, what, low, high + size, limit, unit)
    return Region.of_affine(affine, size * width, width)


def _refuse_clash(index: int, name: str, act: Region, result: Region) -> None:
    clash = overlap(act, result)
    if clash:
        refuse(
            index,
            "hazard",
            f"instruction {index}: {name} writes results over its own activations, "
            f"scratchpad bytes {clash[0]}..{clash[1] - 1}",
            "give results another place",
        )


def _depthwise(index: int, instruction: Instruction, config: AcceleratorConfig) -> Touched:
    nest, get = WindowNest(instruction), instruction.__getitem__
    what = f"instruction {index}: DEPTHWISE"
    if not nest.is_tractable:
        message = f"{what} has {nest.reads} reads, at most {MAX_READS} are verified"
        refuse(index, "size", message, "divide it into several")
    if not nest.fires:
        refuse(index, "field", f"{what} multiplies in no iteration of level 0", "set bits of fire")
    if get("low") > get("high"):
        message = f"{what}: low must not exceed high, not {get('low')} and {get('high')}"
        refuse(index, "field", message)
    delays = get("delay1") + get("delay2")
    if nest.reaches_back(delays):
        refuse(
            index,
            "undefined",
            f"{what} multiplies a line {delays} reads back, where its row has not begun",
            "skip more positions",
        )
    words, line = config.scratchpad_words, config.line_bytes // 4
    act = _within(index, "activation address", nest.act, line, words, "words", 4)
    result = _within(index, "result address", nest.result, line, words, "words", 4)
    width = config.line_bytes
    block = (nest.block_words, config.tap_words, "words", width)
    taps = _within(index, "tap address", nest.tap, *block)
    _refuse_clash(index, "DEPTHWISE", act, result)
    accesses = [Access(Memory.SCRATCHPAD, False, act), Access(Memory.SCRATCHPAD, True, result)]
    accesses += [
        Access(Memory.TAPS, False, replace(taps, start=taps.start + tap * config.tap_words * width))
        for tap in range(TAPS)
    ]
    if get("table_enable"):
        accesses.append(Access(Memory.TABLES, False, Region(256 * get("table"), 256)))
    return Touched(tuple(accesses))


def _check_distinct(index: int, nest: MatmulNest, row: int, words: int) -> None:
    """Refuse two results of `row` words at one place in a scratchpad of `words`: the second would
    be added to the first, or not yet."""
    levels = [
        (stride, count)
        for level, (stride, count) in enumerate(zip(nest.result.strides, nest.counts))
        if not nest.reduces(level)
    ]
    message = f"instruction {index}: MATMUL with a residual writes two results at "
    remedy = "give every result a place of its own"
    # More than there is room for are not listed.
    if math.prod(count for _, count in levels) * row > words:
        refuse(index, "hazard", message + "some scratchpad words", remedy)
    starts = np.sort(grid(nest.result.base, levels))
    close = np.flatnonzero(np.diff(starts) < row)
    if len(close):
        where = f"scratchpad word {int(starts[close[0] + 1])}"
        refuse(index, "hazard", message + where, remedy)
