"""No two accesses of one address, one of them a write, without an order between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weft_hw.isa import Instruction

from .accesses import Access, Memory, Touched, refuse
from .order import Order
from .regions import overlap

__all__ = ["check_hazards"]


class _Column:
    """Accesses of one unit to one memory, in program order, as columns."""

    def __init__(self, accesses: Sequence[tuple[int, Access]], order: Order) -> None:
        self.entries = accesses
        regions = [access.region for _, access in accesses]
        self.local: NDArray[np.int64] = order.local[[index for index, _ in accesses]]
        self.start = np.array([r.start for r in regions], np.int64)
        self.end = np.array([r.end for r in regions], np.int64)


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
    found: dict[tuple[Memory, int], list[tuple[int, Access]]] = {
        (memory, u): [] for memory in Memory for u in range(len(order.units))
    }
    for index, item in enumerate(touched):
        for access in item.accesses:
            found[access.memory, int(order.unit[index])].append((index, access))
    columns = {key: _Column(accesses, order) for key, accesses in found.items() if accesses}
    for (memory, unit), column in columns.items():
        others = [(u, other) for (m, u), other in columns.items() if m is memory]
        for entry in column.entries:
            for other_unit, other in others if entry[1].is_write else ():
                clash = _search(*entry, unit, other, other_unit, order)
                if clash is not None:
                    _refuse(instructions, entry, clash)


def _search(
    index: int, access: Access, unit: int, other: _Column, other_unit: int, order: Order
) -> tuple[int, Access] | None:
    """What in `other` conflicts with this write of instruction `index`; None where nothing does."""
    region, in_order = access.region, unit == other_unit and order.units[unit].in_order
    low, high = order.unordered(index, other_unit)
    a, b = np.searchsorted(other.local, (low, high))
    near = np.flatnonzero((other.start[a:b] < region.end) & (other.end[a:b] > region.start)) + a
    for position in near.tolist():
        at, found = other.entries[position]
        if at == index or (in_order and (found.is_write or at < index)):
            continue
        if overlap(region, found.region):
            return at, found
    return None


def _refuse(instructions: Sequence[Instruction], *pair: tuple[int, Access]) -> None:
    (first, a), (second, b) = sorted(pair, key=lambda item: item[0])
    shared = overlap(a.region, b.region)
    assert shared is not None
    verb = {True: "writes", False: "reads"}
    refuse(
        second,
        "hazard",
        f"instruction {first} ({instructions[first].opcode.name}) {verb[a.is_write]} and "
        f"instruction {second} ({instructions[second].opcode.name}) {verb[b.is_write]} "
        f"{a.memory.value} bytes {shared[0]}..{shared[1] - 1}, and nothing orders them",
        "post a semaphore at the earlier and wait on it at the later",
    )
