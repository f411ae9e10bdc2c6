"""The abstract machine of queues, semaphores and units, without time or data.

The dispatcher hands instructions to the queues of their units in order and stops at the first whose
queue is full (head-of-line blocking). A unit takes the head of its queue when every semaphore that
it waits on is positive. Here an instruction starts, works and retires in one step; for a program
that the verifier accepts every other interleaving gives the same memory.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from weft_hw.config import AcceleratorConfig
from weft_hw.isa import (
    SEMAPHORE_MAX,
    SEMAPHORES,
    UNITS,
    ErrorCode,
    Instruction,
    Opcode,
    Unit,
    UnitSpec,
    opcode_units,
    queued,
)

__all__ = ["Deadlock", "QueueMachine", "SemaphoreOverflow"]


class Deadlock(Exception):
    """No unit can start and the dispatcher cannot move.

    Attributes
    ----------
    blocked : list of (instruction index, semaphores that are zero)
        Heads of the queues that wait.
    dispatcher : int
        Index of the instruction that the dispatcher holds.
    """

    def __init__(self, blocked: list[tuple[int, tuple[int, ...]]], dispatcher: int) -> None:
        waits = ", ".join(
            f"instruction {index} waits on semaphore {' and '.join(map(str, zero))}"
            for index, zero in blocked
        )
        super().__init__(f"deadlock: {waits}; the dispatcher holds instruction {dispatcher}")
        self.blocked = blocked
        self.dispatcher = dispatcher


class SemaphoreOverflow(Exception):
    """Instruction `index` posts `semaphore` beyond its maximum."""

    code = ErrorCode.SEMAPHORE

    def __init__(self, index: int, semaphore: int) -> None:
        super().__init__(f"instruction {index} posts semaphore {semaphore} beyond {SEMAPHORE_MAX}")
        self.index = index
        self.semaphore = semaphore


class QueueMachine:
    """Runs a program's control flow; :meth:`run` yields instruction indices in order of execution.

    Parameters
    ----------
    config : AcceleratorConfig
        Its queue depths.
    dispatch : called with (index, instruction) when the dispatcher takes an instruction; may raise.
    choose : called with a list of ready units (at least one), returns one of them; by default the
        first in order of priority. Any choice gives a legal order.
    units : the machine's units.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        dispatch: Callable[[int, Instruction], None] | None = None,
        choose: Callable[[list[Unit]], Unit] | None = None,
        *,
        units: Sequence[UnitSpec] = UNITS,
    ) -> None:
        self.depths: dict[Unit, int] = {
            spec.unit: getattr(config, str(spec.queue)) for spec in queued(units)
        }
        self._owner = opcode_units(units)
        self.semaphores = [0] * SEMAPHORES
        self._dispatch = dispatch
        self._choose = choose

    def run(self, instructions: Sequence[Instruction]) -> Iterator[int]:
        """Indices in order of execution, END last.

        The posts of an instruction are raised after the consumer of the iterator has taken its
        effect and asks for the next index. A program without END yields all its instructions.

        Raises
        ------
        Deadlock
            Nothing can move.
        SemaphoreOverflow
            A post goes beyond the maximum.
        """
        queues: dict[Unit, deque[int]] = {unit: deque() for unit in self.depths}
        head, end = 0, False
        while True:
            while head < len(instructions) and not end:
                instruction = instructions[head]
                unit = self._owner[instruction.opcode]
                if unit in queues and len(queues[unit]) >= self.depths[unit]:
                    break
                if self._dispatch:
                    self._dispatch(head, instruction)
                if instruction.opcode is Opcode.END:
                    end = True
                    break
                queues[unit].append(head)
                head += 1
            ready = [u for u, q in queues.items() if q and self._can_start(instructions[q[0]])]
            if not ready:
                if not any(queues.values()):
                    break
                heads = [(q[0], instructions[q[0]].waits) for q in queues.values() if q]
                zero = [(i, tuple(n for n in w if not self.semaphores[n])) for i, w in heads]
                raise Deadlock(zero, head)
            unit = self._choose(ready) if self._choose else ready[0]
            index = queues[unit].popleft()
            for number in instructions[index].waits:
                self.semaphores[number] -= 1
            yield index
            for number in instructions[index].posts:
                if self.semaphores[number] >= SEMAPHORE_MAX:
                    raise SemaphoreOverflow(index, number)
                self.semaphores[number] += 1
        if end:
            yield head

    def _can_start(self, instruction: Instruction) -> bool:
        needs = Counter(instruction.waits)
        return all(self.semaphores[number] >= n for number, n in needs.items())
