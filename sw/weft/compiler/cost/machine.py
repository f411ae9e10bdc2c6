"""The event engine of the model: the units, their queues, and the DRAM that they share.

Loads and stores are flows that share the DRAM; a MATMUL is its number of array cycles.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from weft.dram import MemoryModel
from weft.errors import UsageError
from weft.program.window_nest import WindowNest
from weft_hw.config import BURST_BEATS, AcceleratorConfig
from weft_hw.isa import (
    SEMAPHORES,
    TAP_PARAMETERS,
    UNITS,
    Instruction,
    Opcode,
    ResultType,
    Unit,
    UnitSpec,
    queued,
)

from .timing import Timing, matmul_cycles, port_cycles

__all__ = ["ENGINES", "Engine", "Engines", "Machine"]


class _Flow:
    """A transfer under way: cycles it still needs alone, and bytes per cycle that it then moves."""

    __slots__ = ("instruction", "left", "rate", "ready")

    def __init__(self, instruction: Instruction, work: float, size: int, ready: float) -> None:
        self.instruction, self.left, self.ready = instruction, work, ready
        self.rate = size / work


#: Kinds of events: something may start, a semaphore is posted.
_WAKE, _POST = range(2)


class Engine(Protocol):
    """What a unit does with the instruction that it takes; the machine has done with its waits."""

    def may_start(self, instruction: Instruction) -> bool:
        """Whether it can take one now; where not, it has asked the machine to look again."""

    def start(self, instruction: Instruction) -> None:
        """Take it, and in time retire it."""


#: How to make the engine of each unit, for a machine and the unit's position in it.
Engines: TypeAlias = "Mapping[Unit, Callable[[Machine, int], Engine]]"


class Machine:
    """Units that work through their queues; used by predictions and to order programs.

    Parameters
    ----------
    config, memory, timing : what is modelled.
    units : the units; queues, starts and `free` have one entry each that has a queue, in order.
    engines : how each of them works.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        memory: MemoryModel,
        timing: Timing,
        *,
        units: Sequence[UnitSpec] = UNITS,
        engines: Engines | None = None,
    ) -> None:
        self.units = queued(units)
        self.config, self.memory, self.timing = config, memory, timing
        self.now = 0.0
        self.last_retirement = 0.0
        self.events: list[tuple[float, int, int]] = []
        self.queues: list[deque[Instruction]] = [deque() for _ in self.units]
        self.starts: list[list[float]] = [[] for _ in self.units]
        #: When the unit, or its queue, can offer the next instruction.
        self.free = [0.0] * len(self.units)
        self.semaphores = [0] * SEMAPHORES
        #: Loads and stores under way; the head moves data.
        self.flows: tuple[deque[_Flow], deque[_Flow]] = (deque(), deque())
        self.shares = (0.0, 0.0)
        self.array_cycles = 0
        self.work = [0.0, 0.0]
        makers = engines or ENGINES
        self.engines = [makers[spec.unit](self, u) for u, spec in enumerate(self.units)]

    def wake(self, time: float) -> None:
        """Look again at `time`."""
        heapq.heappush(self.events, (time, _WAKE, 0))

    def retire(self, time: float, instruction: Instruction) -> None:
        """Raise the posts of `instruction` at `time`."""
        self.last_retirement = max(self.last_retirement, time)
        for number in instruction.posts:
            heapq.heappush(self.events, (time, _POST, number))

    # -- flows ------------------------------------------------------------------------------------

    def share(self) -> None:
        """Divide the DRAM between the heads of both directions."""
        heads = [f[0] if f and f[0].ready <= self.now else None for f in self.flows]
        demand = sum(h.rate for h in heads if h)
        limit = self.memory.deliverable_bytes_per_cycle
        share = min(1.0, limit / demand) if demand else 1.0
        self.shares = (share if heads[0] else 0.0, share if heads[1] else 0.0)

    def advance(self, time: float) -> None:
        """Move data until `time`, at which a flow may end."""
        span = time - self.now
        self.now = time
        for direction, flow in enumerate(self.flows):
            if self.shares[direction]:
                head = flow[0]
                head.left -= span * self.shares[direction]
                if head.left <= 1e-6:
                    flow.popleft()
                    self.finish(direction, head.instruction)

    def finish(self, direction: int, instruction: Instruction) -> None:
        """The last beat of a transfer has moved."""
        t = self.timing
        if direction == 0:
            self.retire(self.now + t.load_back, instruction)
        else:
            self.retire(self.now + self.memory.write_latency + t.store_back, instruction)

    def next_flow_event(self) -> float:
        """When the first head ends, at the present shares."""
        time = math.inf
        for direction, share in enumerate(self.shares):
            if share:
                time = min(time, self.now + max(self.flows[direction][0].left, 0.0) / share)
        return time

    def fetched(self, beats: int) -> None:
        """Instruction beats, which the ports take in turn, delay the load that moves data."""
        if self.flows[0]:
            self.flows[0][0].left += beats / self.config.axi_ports

    # -- units ------------------------------------------------------------------------------------

    def can_start(self, unit: int) -> bool:
        """Whether the head of a queue can be taken now."""
        instruction = self.queues[unit][0]
        if self.now < self.free[unit]:
            return False
        for number in instruction.waits:
            if not self.semaphores[number]:
                return False
        return self.engines[unit].may_start(instruction)

    def start(self, unit: int) -> None:
        """Take the head of a queue."""
        instruction = self.queues[unit].popleft()
        for number in instruction.waits:
            self.semaphores[number] -= 1
        self.starts[unit].append(self.now)
        self.free[unit] = self.now + self.timing.issue
        self.wake(self.free[unit])
        self.engines[unit].start(instruction)

    def run(self, refill: Callable[[], None]) -> None:
        """Work until nothing is left; `refill` puts instructions into queues that have room.

        Raises
        ------
        UsageError
            Instructions are left that wait for ever.
        """
        while True:
            started = True
            while started:
                started = False
                refill()
                for unit in range(len(self.units)):
                    if self.queues[unit] and self.can_start(unit):
                        self.start(unit)
                        started = True
            self.share()
            time = self.next_flow_event()
            if self.events:
                time = min(time, self.events[0][0])
            if time == math.inf:
                break
            self.advance(time)
            while self.events and self.events[0][0] <= self.now:
                _, kind, number = heapq.heappop(self.events)
                if kind == _POST:
                    self.semaphores[number] += 1
        if any(self.queues):
            raise UsageError("the program deadlocks: an instruction waits for ever")


class _Transfers:
    """The load unit (direction 0) or the store unit (1): flows of the machine."""

    def __init__(self, machine: Machine, direction: int) -> None:
        self.machine, self.direction = machine, direction
        t = machine.timing
        #: What a fill sees in place of the DRAM.
        self.on_chip = replace(machine.memory, read_latency=0)
        self.front = t.store_front if direction else t.load_front + machine.memory.read_latency
        #: Cycles of data that may be left when the bursts of the next transfer are issued.
        self.window = t.store_front if direction else BURST_BEATS * machine.config.read_outstanding

    def may_start(self, instruction: Instruction) -> bool:
        machine = self.machine
        left = sum(f.left for f in machine.flows[self.direction])
        if left <= self.window + 1e-6:
            return True
        share = machine.shares[self.direction]
        if share:
            machine.wake(machine.now + (left - self.window) / share)
        return False

    def start(self, instruction: Instruction) -> None:
        machine, rows, size = self.machine, instruction["rows"], instruction["bytes"]
        fills = self.direction == 0 and instruction["fill"]
        alone = port_cycles(
            instruction["dram_offset"],
            instruction["dram_pitch"],
            rows,
            size,
            write=bool(self.direction),
            config=machine.config,
            memory=self.on_chip if fills else machine.memory,
            timing=machine.timing,
        )
        work, ready = max(1.0, alone), machine.now + self.front
        moved = rows * size
        if fills:
            ready, moved = ready - machine.memory.read_latency, 0
        machine.work[self.direction] += work
        machine.flows[self.direction].append(_Flow(instruction, work, moved, ready))
        machine.wake(ready)


class _Compute:
    """The array. The next MATMUL may start when this one has left the place that holds it ready."""

    def __init__(self, machine: Machine, unit: int) -> None:
        self.machine, self.unit = machine, unit
        self.result_bytes, self.residual = 1, False
        self.array_end = self.end = 0.0

    def may_start(self, instruction: Instruction) -> bool:
        if instruction.opcode is Opcode.SETUP and self.machine.now < self.end:
            self.machine.wake(self.end)
            return False
        return True

    def start(self, instruction: Instruction) -> None:
        machine = self.machine
        config, t, free = machine.config, machine.timing, machine.free
        if instruction.opcode is Opcode.SETUP:
            self.result_bytes = ResultType(instruction["result_type"]).bytes
            self.residual = bool(instruction["residual"])
            machine.retire(machine.now + 1, instruction)
            return
        cycles = matmul_cycles(instruction, self.result_bytes, config, self.residual)
        ready = machine.now + t.compute_front
        begin = max(self.array_end, ready)
        if ready + config.tile_words > self.array_end:
            begin = max(begin, ready + config.tile_words + t.weights_front)
        free[self.unit] = max(free[self.unit], self.array_end)
        machine.wake(free[self.unit])
        self.array_end = begin + cycles
        machine.array_cycles += cycles
        self.end = self.array_end + config.rows + config.cols // 2 + t.compute_back
        machine.retire(self.end, instruction)


class _Depthwise:
    """The depthwise engine: one instruction at a time. Lost banks are not followed."""

    def __init__(self, machine: Machine, unit: int) -> None:
        self.machine, self.unit = machine, unit

    def may_start(self, instruction: Instruction) -> bool:
        return True

    def start(self, instruction: Instruction) -> None:
        machine, t, nest = self.machine, self.machine.timing, WindowNest(instruction)
        blocks = math.prod(nest.tap.counts)
        slots = nest.cycles + blocks * TAP_PARAMETERS + (blocks - 1) * t.depthwise_gap
        end = machine.now + t.depthwise_front + slots + t.depthwise_back
        machine.free[self.unit] = max(machine.free[self.unit], end)
        machine.wake(end)
        machine.retire(end, instruction)


#: The engines of the units.
ENGINES: Engines = {
    Unit.LOAD: lambda machine, unit: _Transfers(machine, 0),
    Unit.COMPUTE: _Compute,
    Unit.STORE: lambda machine, unit: _Transfers(machine, 1),
    Unit.DEPTHWISE: _Depthwise,
}
