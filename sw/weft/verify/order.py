"""Which instruction certainly retires before which other one starts.

Facts that hold on every run: a unit starts, and retires, its instructions in order; a SETUP starts
when the compute unit is empty; the k-th wait on a semaphore follows the k-th post, because one unit
posts it and one unit waits on it. Nothing is concluded from queue depths or times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weft.program.queues import Deadlock, QueueMachine, SemaphoreOverflow
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    SEMAPHORE_MAX,
    SEMAPHORES,
    UNITS,
    Instruction,
    Opcode,
    UnitSpec,
    opcode_units,
    queued,
)

from .accesses import refuse

__all__ = ["Order", "execution_order"]


def _check_semaphores(instructions: Sequence[Instruction], units: Sequence[UnitSpec]) -> None:
    """One posting unit and one waiting unit for each semaphore, none twice in an instruction."""
    unit_of = opcode_units(units)
    for kind in ("waits", "posts"):
        owner: dict[int, int] = {}
        for index, instruction in enumerate(instructions):
            numbers = getattr(instruction, kind)
            for number in numbers:
                if numbers.count(number) > 1:
                    message = f"instruction {index} {kind[:-1]}s semaphore {number} twice"
                    refuse(index, "semaphore", message, "name each semaphore once")
                other = owner.setdefault(number, index)
                if unit_of[instructions[other].opcode] != unit_of[instruction.opcode]:
                    verb = "waited on" if kind == "waits" else "posted"
                    refuse(
                        index,
                        "semaphore",
                        f"semaphore {number} is {verb} by two units: instruction {other} "
                        f"({instructions[other].opcode.name}) and instruction {index} "
                        f"({instruction.opcode.name})",
                        "use one semaphore for each pair of units",
                    )


def execution_order(
    instructions: Sequence[Instruction],
    config: AcceleratorConfig,
    *,
    units: Sequence[UnitSpec] = UNITS,
) -> list[int]:
    """A legal order of execution, END included; refuses by rule ``semaphore`` or ``deadlock``."""
    _check_semaphores(instructions, units)
    try:
        return list(QueueMachine(config, units=units).run(instructions))
    except Deadlock as error:
        remedy = "post before the wait, and not behind a full queue"
        refuse(error.blocked[0][0], "deadlock", f"the program stops: {error}", remedy)
    except SemaphoreOverflow as error:
        refuse(error.index, "semaphore", str(error), "let the other unit wait on it")


class Order:
    """Happens-before between retirement and start.

    Attributes
    ----------
    units : the units that have a queue, U of them
    unit : int [n], position in `units`; -1 for END
    local : int [n], position within the unit
    before : int [n, U]; instruction i of unit u certainly retires before instruction j starts
        exactly when ``local[i] < before[j, u]``
    by_unit : for each unit, `before` of its instructions; every column ascends

    Raises
    ------
    ProgramRefused
        Rule ``semaphore``: a semaphore could exceed its maximum.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction],
        order: Sequence[int],
        *,
        units: Sequence[UnitSpec] = UNITS,
    ) -> None:
        n = len(instructions)
        self.units = queued(units)
        count = len(self.units)
        positions = {op: u for u, spec in enumerate(self.units) for op in spec.opcodes}
        self.unit = np.array([positions.get(i.opcode, -1) for i in instructions], np.int64)
        self.local = np.zeros(n, np.int64)
        for u in range(count):
            self.local[self.unit == u] = np.arange(np.count_nonzero(self.unit == u))
        nothing: tuple[int, ...] = (0,) * count
        before, retired = [nothing] * n, [nothing] * n
        last_start, last_retire = [nothing] * count, [nothing] * count
        posters: list[list[int]] = [[] for _ in range(SEMAPHORES)]
        waiters: list[list[int]] = [[] for _ in range(SEMAPHORES)]
        for index in order:
            instruction = instructions[index]
            u = int(self.unit[index])
            if u < 0:
                continue
            known = [last_start[u]]
            if instruction.opcode is Opcode.SETUP:
                known.append(last_retire[u])
            for number in instruction.waits:
                known.append(retired[posters[number][len(waiters[number])]])
                waiters[number].append(index)
            start = tuple(map(max, *known)) if len(known) > 1 else known[0]
            done = list(map(max, start, last_retire[u]))
            done[u] = int(self.local[index]) + 1
            before[index], last_start[u] = start, start
            retired[index] = last_retire[u] = tuple(done)
            for number in instruction.posts:
                posters[number].append(index)
        self.before = np.array(before, np.int64).reshape(n, count)
        self.by_unit = [self.before[self.unit == u] for u in range(count)]
        for number in range(SEMAPHORES):
            self._check_maximum(number, posters[number], waiters[number], retired)

    def _check_maximum(
        self, number: int, posters: list[int], waiters: list[int], retired: list[tuple[int, ...]]
    ) -> None:
        """A post may not exceed the maximum even where the waiting unit is as late as it can be."""
        if len(posters) <= SEMAPHORE_MAX:
            return
        unit = int(self.unit[waiters[0]]) if waiters else 0
        taken = self.local[waiters]
        for k, index in enumerate(posters, 1):
            started = int(np.searchsorted(taken, retired[index][unit])) if waiters else 0
            if k - started > SEMAPHORE_MAX:
                message = f"instruction {index} may post semaphore {number} beyond {SEMAPHORE_MAX}"
                remedy = "let its unit wait for the unit that waits on it"
                refuse(index, "semaphore", message, remedy)

    def is_before(self, first: int, second: int) -> bool:
        """Whether instruction `first` certainly retires before `second` starts."""
        return bool(self.local[first] < self.before[second, self.unit[first]])

    def unordered(self, index: int, unit: int) -> tuple[int, int]:
        """Positions in `unit`, as a range, of the instructions that `index` may overlap in time."""
        low = int(self.before[index, unit])
        column = self.by_unit[unit][:, self.unit[index]]
        high = int(np.searchsorted(column, self.local[index], side="right"))
        return low, high
