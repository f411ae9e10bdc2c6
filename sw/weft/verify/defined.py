"""The arena, weights, parameters, tables and accumulators are written before they are read.

Activations are not tracked: lines are longer than the data of a ragged matrix, and the bytes behind
it meet zero weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from weft.errors import ProgramRefused
from weft.program.nest import MatmulNest
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import LOOP_LEVELS, Instruction, Space, space_words

from .accesses import Memory, Touched, refuse
from .regions import Region

__all__ = ["check_defined"]

_TRACKED = (Space.WEIGHTS, Space.PARAMETERS, Space.TABLES, Space.TAPS)


def check_defined(
    instructions: Sequence[Instruction],
    touched: Sequence[Touched],
    config: AcceleratorConfig,
    order: Sequence[int],
    arena_bytes: int,
    given: Sequence[Region],
    outputs: Mapping[str, Region] = MappingProxyType({}),
) -> None:
    """Follow one legal order of execution; ordered hazards make all others equal.

    A result can then not depend on what an earlier run left, but through states.

    Parameters
    ----------
    given : sequence of Region
        Bytes of the arena that are defined when a run starts.
    outputs : name -> Region
        Bytes of the arena that are to be defined when it ends.

    Raises
    ------
    ProgramRefused
        Rule ``undefined``, at the reading instruction, or of the whole program.
    """
    written = {Memory[s.name]: bytearray(4 * space_words(s, config)) for s in _TRACKED}
    # Transfers touch whole granules of the arena, so it has a flag for each of these.
    arena = written[Memory.ARENA] = bytearray(arena_bytes // GRANULE_BYTES)
    for region in given:
        _mark(arena, region, GRANULE_BYTES)
    accumulators = bytearray(config.accumulator_rows)
    for index in order:
        for access in touched[index].accesses:
            if access.memory not in written:
                continue
            unit = GRANULE_BYTES if access.memory is Memory.ARENA else 1
            if access.is_write:
                _mark(written[access.memory], access.region, unit)
            else:
                missing = _missing(written[access.memory], access.region, unit)
                if missing is not None:
                    _refuse(index, instructions, f"{access.memory.value} byte {missing}")
        nest = touched[index].nest
        if nest is not None:
            row = _accumulate(accumulators, instructions[index], nest)
            if row is not None:
                _refuse(index, instructions, f"accumulator row {row}")
    for name, region in outputs.items():
        missing = _missing(arena, region, GRANULE_BYTES)
        if missing is not None:
            raise ProgramRefused(
                f"nothing writes arena byte {missing} of output {name!r}",
                "store all of it in each run, or make it a state",
                rule="undefined",
            )


def _refuse(index: int, instructions: Sequence[Instruction], what: str) -> None:
    who = f"instruction {index} ({instructions[index].opcode.name})"
    message = f"{who} reads {what}, which nothing has written"
    refuse(index, "undefined", message, "load it, or start the sum with a first pass")


def _mark(written: bytearray, region: Region, unit: int = 1) -> None:
    """Set the flags of `region`; one stands for `unit` addresses."""
    for start, end in zip(*((x // unit).tolist() for x in region.intervals())):
        written[start:end] = b"\1" * (end - start)


def _missing(written: bytearray, region: Region, unit: int = 1) -> int | None:
    """First address of `region` whose flag is not set."""
    for start, end in zip(*((x // unit).tolist() for x in region.intervals())):
        found = written.find(0, start, end)
        if found >= 0:
            return found * unit
    return None


def _accumulate(written: bytearray, instruction: Instruction, nest: MatmulNest) -> int | None:
    """Mark what a MATMUL leaves in accumulators; the row that it reads undefined, or None."""
    first, last = bool(instruction["first"]), bool(instruction["last"])
    reduced = [i for i in range(LOOP_LEVELS) if instruction["reduction"] >> i & 1]
    steps = [i for i in reduced if nest.counts[i] > 1]
    if first and last and not steps:
        return None
    region = Region.of_affine(nest.acc, 1)
    in_place = all(nest.acc.strides[i] == 0 for i in steps)
    if not (first and in_place):
        missing = _missing(written, region)
        if missing is not None:
            return missing
    # Where no step along K stays in its row, a last pass is alone there and leaves nothing.
    if not last or (steps and in_place):
        _mark(written, region)
    return None
