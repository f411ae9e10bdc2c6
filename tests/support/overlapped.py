"""A third executor, for tests of the verifier: instructions overlap in time as the core lets them.

Between start and retirement a transfer reads and writes whenever chance says, whatever else its
unit has in flight. A MATMUL, or a DEPTHWISE, reads its operands when chance says, after those
before it, and its results appear later, in order. A program that the verifier accepts must not
notice.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weft.backend.emulator.instructions import EXECUTE, transfer_rows
from weft.backend.emulator.state import State
from weft.program.window_nest import WindowNest
from weft.verify.accesses import Touched, analyse
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import SEMAPHORES, Instruction, Opcode, Space, Unit, queued

__all__ = ["run_overlapped"]

UNITS = tuple(spec.unit for spec in queued())
IN_ORDER = tuple(spec.unit for spec in queued() if spec.in_order)
#: Instructions that a unit has started and not retired, at most.
IN_FLIGHT = 4


@dataclass
class _Flight:
    """A started instruction: 0 operands not read, 1 read, 2 written."""

    index: int
    phase: int = 0
    data: np.ndarray | None = None


class _Run:
    def __init__(
        self,
        config: AcceleratorConfig,
        program: Sequence[Instruction],
        arena: np.ndarray,
        seed: int,
    ) -> None:
        self.program = [i for i in program if i.opcode is not Opcode.END]
        self.touched: list[Touched] = analyse(self.program, config, len(arena))
        self.state = State(config, arena)
        self.random = random.Random(seed)
        self.counts = [0] * SEMAPHORES
        depth = {spec.unit: getattr(config, spec.queue) for spec in queued()}
        self.queues: dict[Unit, deque[int]] = {u: deque() for u in UNITS}
        self.flights: dict[Unit, list[_Flight]] = {u: [] for u in UNITS}
        self.depth, self.head = depth, 0

    def run(self) -> State:
        """Until everything has retired."""
        while True:
            while self.head < len(self.program):
                unit = self.program[self.head].unit
                if len(self.queues[unit]) >= self.depth[unit]:
                    break
                self.queues[unit].append(self.head)
                self.head += 1
            moves = self._moves()
            if not moves:
                assert not any(self.queues.values()), "deadlock"
                return self.state
            self._move(*self.random.choice(moves))

    def _moves(self) -> list[tuple[str, Unit, int]]:
        found: list[tuple[str, Unit, int]] = []
        for unit in UNITS:
            flights, queue = self.flights[unit], self.queues[unit]
            if queue and len(flights) < IN_FLIGHT:
                head = self.program[queue[0]]
                ready = all(self.counts[s] > 0 for s in head.waits)
                if ready and not (head.opcode is Opcode.SETUP and flights):
                    found.append(("start", unit, 0))
            for i, flight in enumerate(flights):
                in_order = unit not in IN_ORDER or i == 0 or flights[i - 1].phase > flight.phase
                if flight.phase < 2 and in_order:
                    found.append(("work", unit, i))
            if flights and flights[0].phase == 2:
                found.append(("retire", unit, 0))
        return found

    def _move(self, what: str, unit: Unit, at: int) -> None:
        if what == "work":
            self._work(self.flights[unit][at])
        elif what == "retire":
            index = self.flights[unit].pop(0).index
            for s in self.program[index].posts:
                self.counts[s] += 1
        else:
            index = self.queues[unit].popleft()
            instruction = self.program[index]
            for s in instruction.waits:
                self.counts[s] -= 1
            if instruction.opcode is Opcode.SETUP:
                self.state.setup = instruction
                for s in instruction.posts:
                    self.counts[s] += 1
            else:
                self.flights[unit].append(_Flight(index))

    def _work(self, flight: _Flight) -> None:
        instruction = self.program[flight.index]
        if instruction.opcode is Opcode.MATMUL:
            self._matmul(flight, instruction)
        elif instruction.opcode is Opcode.DEPTHWISE:
            rows = WindowNest(instruction).result.values()[:, None]
            self._compute(flight, instruction, rows, self.state.config.line_bytes)
        else:
            memory = self.state.spaces[Space(instruction["space"])]
            dram, chip = transfer_rows(self.state, instruction)
            pair = ((self.state.arena, dram), (memory, chip))
            is_load = instruction.opcode is Opcode.LOAD
            (source, source_at), (target, target_at) = pair if is_load else pair[::-1]
            columns = np.arange(instruction["bytes"])
            if flight.phase == 0:
                flight.data = source[source_at[:, None] + columns]
                if is_load and instruction["fill"]:
                    flight.data[:] = instruction["fill_value"] & 0xFF
            else:
                target[target_at[:, None] + columns] = flight.data
        flight.phase += 1

    def _matmul(self, flight: _Flight, instruction: Instruction) -> None:
        config = self.state.config
        nest = self.touched[flight.index].nest
        assert nest is not None
        last = nest.passes()[1]
        rows = nest.result.values().reshape(nest.tiles, nest.rows)[last].reshape(-1, 1)
        self._compute(flight, instruction, rows, config.cols << self.state.setting("result_type"))

    def _compute(
        self, flight: _Flight, instruction: Instruction, rows: np.ndarray, size: int
    ) -> None:
        """`rows` are the words at which results of `size` bytes appear."""
        spaces = self.state.spaces
        at = np.unique(4 * rows + np.arange(size))
        scratchpad = spaces[Space.SCRATCHPAD]
        if flight.phase == 0:
            spaces[Space.SCRATCHPAD] = scratchpad.copy()
            EXECUTE[instruction.opcode](self.state, instruction)
            flight.data = spaces[Space.SCRATCHPAD][at]
            spaces[Space.SCRATCHPAD] = scratchpad
        else:
            scratchpad[at] = flight.data


def run_overlapped(
    config: AcceleratorConfig, program: Sequence[Instruction], arena: np.ndarray, seed: int
) -> State:
    """Run `program` on `arena`, which is changed, with the interleaving of `seed`."""
    return _Run(config, program, arena, seed).run()
