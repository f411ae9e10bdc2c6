"""Cycles of a program: an event model of fetch, the three units and the DRAM that they share.

The model follows whole instructions, not beats: loads and stores are flows that share the DRAM, a
MATMUL is its number of array cycles. Every constant is a field of :class:`Timing`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from weft_hw.config import BURST_BEATS, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES, SEMAPHORES, Instruction, Opcode, ResultType, Unit

from ..errors import UsageError
from ..memory_model import MemoryModel

__all__ = [
    "TIMING",
    "Prediction",
    "Timing",
    "port_cycles",
    "predict",
    "simulate_units",
    "transfer_cycles",
]


@dataclass(frozen=True)
class Timing:
    """Cycles of the gateware that do not follow from the configuration."""

    #: Doorbell to the first fetch request at the bus.
    doorbell: int = 6
    #: Last beat of an instruction to its place in a queue: word assembly, checks.
    decode: int = 6
    #: Push into an empty queue to the offer to the unit; also between two offers.
    issue: int = 3
    #: Bursts of instructions that fetch holds or has asked for.
    fetch_bursts: int = 4
    #: Start of a load to its first read address on the bus.
    load_front: int = 6
    #: Last read beat to the retirement: striping queues, memory write, post.
    load_back: int = 8
    #: Start of a store to its first write beat: addresses, scratchpad reads.
    store_front: int = 16
    #: Last write response to the retirement.
    store_back: int = 4
    #: Cycles of a port per burst besides its beats.
    burst_gap: int = 0
    #: Latency of a burst within the DMA, besides that of the DRAM.
    round_trip: int = 8
    #: Cycles between the rows of a transfer in its address generator.
    row_cycles: int = 2
    #: A started MATMUL to its first row, with its weights in the array.
    compute_front: int = 4
    #: More than R / L, where the weights were not fetched ahead.
    weights_front: int = 5
    #: More than R + C/2, from the issue of the last row to the retirement.
    compute_back: int = 22
    #: Last retirement to done.
    done: int = 4


TIMING = Timing()


@dataclass(frozen=True)
class Prediction:
    """What the model says about one program.

    Parameters
    ----------
    cycles : int
        Doorbell to done.
    array_cycles : int
        Cycles in which the array had tiles to work on.
    read_cycles, write_cycles : float
        Time that loads and stores would take alone.
    """

    cycles: int
    array_cycles: int
    read_cycles: float
    write_cycles: float


@lru_cache(maxsize=4096)
def _port_cycles(
    start: int,
    pitch: int,
    rows: int,
    size: int,
    shape: tuple[int, int, int, int, int, int],
) -> float:
    """Cycles that the busiest port needs for the bursts of a transfer, alone on the DRAM.

    `start` and `pitch` are taken modulo the bytes of one stripe on every port.
    """
    ports, beat, stripe, round_trip, outstanding, gap = shape
    around = stripe * ports
    period = around // math.gcd(pitch, around) if pitch else 1
    cost = [0.0] * ports
    least = round_trip / outstanding

    def row(at: int, weight: float) -> None:
        stop = at + size
        whole = (stop - at) // around - 1
        if whole > 0:  # the middle is equal on every port
            for p in range(ports):
                cost[p] += weight * whole * max(BURST_BEATS + gap, least)
            at += whole * around
        while at < stop:
            end = min((at // stripe + 1) * stripe, stop)
            beats = -(-(end - at) // beat)
            cost[at // stripe % ports] += weight * max(beats + gap, least)
            at = end

    full, rest = divmod(rows, period)
    for r in range(min(period, rows)):
        row((start + r * pitch) % around, full + (r < rest))
    return max(cost)


def port_cycles(
    offset: int,
    pitch: int,
    rows: int,
    size: int,
    write: bool,
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing,
) -> float:
    """Cycles that the data of a transfer take, alone on the DRAM, latency not counted."""
    latency, outstanding = (
        (memory.write_latency, config.write_outstanding)
        if write
        else (memory.read_latency, config.read_outstanding)
    )
    around = config.stripe_bytes * config.axi_ports
    port = (config.axi_ports, config.beat_bytes, config.stripe_bytes)
    shape = (*port, latency + timing.round_trip, outstanding, timing.burst_gap)
    work = _port_cycles(offset % around, pitch % around if rows > 1 else 0, rows, size, shape)
    return max(work, float(rows * timing.row_cycles)) if rows > 1 else work


def transfer_cycles(
    instruction: Instruction, config: AcceleratorConfig, memory: MemoryModel, timing: Timing
) -> float:
    """:func:`port_cycles` of a LOAD or STORE."""
    names = ("dram_offset", "dram_pitch", "rows", "bytes")
    offset, pitch, rows, size = (instruction[name] for name in names)
    write = instruction.opcode is Opcode.STORE
    return port_cycles(offset, pitch, rows, size, write, config, memory, timing)


class _Flow:
    """A transfer under way: cycles it still needs alone, and bytes per cycle that it then moves."""

    __slots__ = ("instruction", "left", "rate", "ready")

    def __init__(self, instruction: Instruction, work: float, size: int, ready: float) -> None:
        self.instruction, self.left, self.ready = instruction, work, ready
        self.rate = size / work


#: Indices of the units in a machine.
_LOAD, _COMPUTE, _STORE = range(3)
#: Kinds of events: something may start, a semaphore is posted.
_WAKE, _POST = range(2)


class _Machine:
    """Three units that work through their queues; used by predictions and to order programs."""

    def __init__(self, config: AcceleratorConfig, memory: MemoryModel, timing: Timing) -> None:
        self.config, self.memory, self.timing = config, memory, timing
        self.now = 0.0
        self.last_retirement = 0.0
        self.events: list[tuple[float, int, int]] = []
        self.queues: tuple[deque[Instruction], ...] = (deque(), deque(), deque())
        self.starts: tuple[list[float], ...] = ([], [], [])
        #: When the unit, or its queue, can offer the next instruction.
        self.free = [0.0, 0.0, 0.0]
        self.semaphores = [0] * SEMAPHORES
        #: Loads and stores under way; the head moves data.
        self.flows: tuple[deque[_Flow], deque[_Flow]] = (deque(), deque())
        self.shares = (0.0, 0.0)
        self.result_bytes = 1
        self.array_end = self.compute_end = 0.0
        self.array_cycles = 0
        self.work = [0.0, 0.0]
        stripes = BURST_BEATS * float(config.read_outstanding)
        self.window = (stripes, float(timing.store_front))

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

    def start_transfer(self, instruction: Instruction, direction: int) -> None:
        t, flow = self.timing, self.flows[direction]
        work = max(1.0, transfer_cycles(instruction, self.config, self.memory, t))
        self.work[direction] += work
        front = t.store_front if direction else t.load_front + self.memory.read_latency
        size = instruction["rows"] * instruction["bytes"]
        flow.append(_Flow(instruction, work, size, self.now + front))
        self.wake(self.now + front)

    def transfer_may_start(self, direction: int) -> bool:
        """Bursts of the next transfer are issued while the last of the previous are in flight."""
        flow, window = self.flows[direction], self.window[direction]
        if not flow:
            return True
        left = sum(f.left for f in flow)
        if left <= window + 1e-6:
            return True
        if self.shares[direction]:
            self.wake(self.now + (left - window) / self.shares[direction])
        return False

    # -- compute ----------------------------------------------------------------------------------

    def start_compute(self, instruction: Instruction) -> None:
        config, t = self.config, self.timing
        if instruction.opcode is Opcode.SETUP:
            self.result_bytes = ResultType(instruction["result_type"]).bytes
            self.retire(self.now + 1, instruction)
            return
        counts, levels = instruction.vector("count"), instruction["tile_levels"]
        rows, tiles = math.prod(counts[:levels]), math.prod(counts[levels:])
        mask = instruction["reduction"]
        reduced = math.prod(c for i, c in enumerate(counts) if mask >> i & 1)
        last = tiles // reduced if instruction["last"] else 0
        period = max(rows, config.tile_words)
        paced = max(period, rows * config.row_cycles(self.result_bytes), config.cols // 2)
        cycles = (tiles - last) * period + last * paced
        ready = self.now + t.compute_front
        begin = max(self.array_end, ready)
        if ready + config.tile_words > self.array_end:
            begin = max(begin, ready + config.tile_words + t.weights_front)
        # The next one may start when this one has left the place where one is held ready.
        self.free[_COMPUTE] = max(self.free[_COMPUTE], self.array_end)
        self.wake(self.free[_COMPUTE])
        self.array_end = begin + cycles
        self.array_cycles += cycles
        self.compute_end = self.array_end + config.rows + config.cols // 2 + t.compute_back
        self.retire(self.compute_end, instruction)

    def can_start(self, unit: int) -> bool:
        instruction = self.queues[unit][0]
        if self.now < self.free[unit]:
            return False
        for number in instruction.waits:
            if not self.semaphores[number]:
                return False
        if unit != _COMPUTE:
            return self.transfer_may_start(0 if unit == _LOAD else 1)
        if instruction.opcode is Opcode.SETUP and self.now < self.compute_end:
            self.wake(self.compute_end)
            return False
        return True

    def start(self, unit: int) -> None:
        """Take the head of a queue."""
        instruction = self.queues[unit].popleft()
        for number in instruction.waits:
            self.semaphores[number] -= 1
        self.starts[unit].append(self.now)
        self.free[unit] = self.now + self.timing.issue
        self.wake(self.free[unit])
        if unit == _COMPUTE:
            self.start_compute(instruction)
        else:
            self.start_transfer(instruction, 0 if unit == _LOAD else 1)

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
                for unit in range(3):
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


def simulate_units(
    units: Sequence[Sequence[Instruction]],
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing = TIMING,
) -> tuple[list[float], ...]:
    """Start times when every unit has all its instructions at once: load, compute, store."""
    machine = _Machine(config, memory, timing)
    for queue, instructions in zip(machine.queues, units):
        queue.extend(instructions)
    machine.run(lambda: None)
    return machine.starts


_UNIT_INDEX = {Unit.LOAD: _LOAD, Unit.COMPUTE: _COMPUTE, Unit.STORE: _STORE}


class _Fetch:
    """Brings a program in bursts and puts it into the queues, in order."""

    def __init__(self, machine: _Machine, program: Sequence[Instruction]) -> None:
        self.machine = machine
        self.body = [i for i in program if i.opcode is not Opcode.END]
        self.units = [_UNIT_INDEX[i.unit] for i in self.body]
        config = machine.config
        self.total, self.next = len(program), 0
        self.depths = (config.load_queue, config.compute_queue, config.store_queue)
        self.beats = INSTRUCTION_BYTES // config.beat_bytes
        self.per_burst = BURST_BEATS // self.beats
        self.ahead = machine.timing.fetch_bursts * self.per_burst
        self.arrival: list[float] = []

    def ask(self) -> None:
        """Ask for bursts that there is room for; their beats delay the loads."""
        machine, t, arrival = self.machine, self.machine.timing, self.arrival
        while len(arrival) < self.total and len(arrival) + self.per_burst <= self.next + self.ahead:
            count = min(self.per_burst, self.total - len(arrival))
            base = machine.now + machine.memory.read_latency + t.decode
            base += 0 if arrival else t.doorbell
            for i in range(count):
                previous = arrival[-1] if arrival else 0.0
                arrival.append(max(base + (i + 1) * self.beats, previous + self.beats))
                machine.wake(arrival[-1])
            if machine.flows[0]:
                taken = count * INSTRUCTION_BYTES / machine.config.dma_bytes
                machine.flows[0][0].left += taken

    def refill(self) -> None:
        machine, body = self.machine, self.body
        before = self.next
        while self.next < len(body):
            if self.next >= len(self.arrival) or self.arrival[self.next] > machine.now:
                break
            unit = self.units[self.next]
            queue = machine.queues[unit]
            if len(queue) >= self.depths[unit]:
                break
            if not queue:
                ready = machine.now + machine.timing.issue
                if ready > machine.free[unit]:
                    machine.free[unit] = ready
                    machine.wake(ready)
            queue.append(body[self.next])
            self.next += 1
        if self.next != before or not self.arrival:
            self.ask()


def predict(
    program: Sequence[Instruction],
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing = TIMING,
) -> Prediction:
    """Cycles of `program`, from doorbell to done.

    Raises
    ------
    UsageError
        The program deadlocks.
    """
    machine = _Machine(config, memory, timing)
    fetch = _Fetch(machine, program)
    machine.run(fetch.refill)
    if fetch.next < len(fetch.body):
        raise UsageError("the program deadlocks: an instruction waits for ever")
    end = max(machine.last_retirement, fetch.arrival[-1])
    return Prediction(
        cycles=round(end + timing.done),
        array_cycles=machine.array_cycles,
        read_cycles=machine.work[0],
        write_cycles=machine.work[1],
    )
