"""No two accesses of one address, one of them a write, without an order between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weft.errors import ProgramRefused
from weft_hw.isa import Instruction

from .accesses import Memory, Touched
from .order import Order
from .regions import Region, overlap

__all__ = ["check_hazards"]


class _Column:
    """Accesses of one unit to one memory, in program order, as columns."""

    def __init__(self) -> None:
        self.index: list[int] = []
        self.is_write: list[bool] = []
        self.region: list[Region] = []

    def freeze(self, order: Order) -> None:
        """Build the arrays that :func:`_search` reads."""
        self.local: NDArray[np.int64] = order.local[np.array(self.index, np.int64)]
        self.writes = np.array(self.is_write, bool)
        self.start = np.array([r.start for r in self.region], np.int64)
        self.end = np.array([r.end for r in self.region], np.int64)


def check_hazards(
    instructions: Sequence[Instruction], touched: Sequence[Touched], order: Order
) -> None:
    """Refuse a pair of conflicting accesses that may overlap in time.

    A unit that is `in_order` reads and writes in program order, so of two of its instructions only
    a later one that reads what an earlier one writes needs an order (a MATMUL, its activations).
    All other units move data in any order between start and retirement.

    Raises
    ------
    ProgramRefused
        Rule ``hazard``, at the later instruction.
    """
    columns = {(memory, u): _Column() for memory in Memory for u in range(len(order.units))}
    for index, item in enumerate(touched):
        for access in item.accesses:
            column = columns[access.memory, int(order.unit[index])]
            column.index.append(index)
            column.is_write.append(access.is_write)
            column.region.append(access.region)
    for column in columns.values():
        column.freeze(order)
    for (memory, unit), column in columns.items():
        for at in np.flatnonzero(column.writes).tolist():
            for other_unit in range(len(order.units)):
                other = columns[memory, other_unit]
                if other.index:
                    found = _search(column, at, unit, other, other_unit, order)
                    if found is not None:
                        _refuse(instructions, memory, column, at, other, found)


def _search(
    column: _Column, at: int, unit: int, other: _Column, other_unit: int, order: Order
) -> int | None:
    """Position in `other` of an access that conflicts with write `at`; None where there is none."""
    index, region = column.index[at], column.region[at]
    low, high = order.unordered(index, other_unit)
    a, b = np.searchsorted(other.local, (low, high))
    near = np.flatnonzero((other.start[a:b] < region.end) & (other.end[a:b] > region.start)) + a
    for position in near.tolist():
        if other.index[position] == index:
            continue
        if unit == other_unit and order.units[unit].in_order and (
            other.is_write[position] or other.index[position] < index
        ):
            continue
        if overlap(region, other.region[position]):
            return int(position)
    return None


def _refuse(
    instructions: Sequence[Instruction],
    memory: Memory,
    column: _Column,
    at: int,
    other: _Column,
    position: int,
) -> None:
    pair = sorted(((column.index[at], True), (other.index[position], other.is_write[position])))
    (first, first_writes), (second, second_writes) = pair
    shared = overlap(column.region[at], other.region[position])
    assert shared is not None
    verb = {True: "writes", False: "reads"}
    raise ProgramRefused(
        f"instruction {first} ({instructions[first].opcode.name}) {verb[first_writes]} and "
        f"instruction {second} ({instructions[second].opcode.name}) {verb[second_writes]} "
        f"{memory.value} bytes {shared[0]}..{shared[1] - 1}, and nothing orders them",
        "post a semaphore at the earlier and wait on it at the later",
        rule="hazard",
        index=second,
    )
