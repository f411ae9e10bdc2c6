"""Cycles of a program: an event model of fetch, the three units and the DRAM that they share.

The model follows whole instructions, not beats: loads and stores are flows that share the DRAM, a
MATMUL is its number of array cycles. Every constant is a field of :class:`Timing`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from weft_hw.config import BURST_BEATS, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES, Instruction, Opcode, ResultType, Unit

from ..errors import UsageError
from ..memory_model import MemoryModel

__all__ = ["TIMING", "Prediction", "Timing", "predict", "simulate_units"]


@dataclass(frozen=True)
class Timing:
    """Cycles of the gateware that do not follow from the configuration."""

    #: Doorbell to the first fetch request at the bus.
    doorbell: int = 6
    #: Last beat of an instruction to its place in a queue: word assembly, checks.
    decode: int = 6
    #: Push into an empty queue to the offer to the unit; also between two offers.
    issue: int = 3
    #: Instructions that fetch holds or has asked for.
    fetch_ahead_bursts: int = 4
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


class _Flow:
    """A transfer: cycles that it needs alone, and the bytes per cycle that it then moves."""

    __slots__ = ("index", "left", "ready", "rate", "work")

    def __init__(self, index: int, work: float, size: int) -> None:
        self.index, self.work, self.left = index, work, work
        self.rate = size / work
        self.ready = False


class _Machine:
    """Three units that work through their queues; used by predictions and to order programs."""

    def __init__(self, config: AcceleratorConfig, memory: MemoryModel, timing: Timing) -> None:
        self.config, self.memory, self.timing = config, memory, timing
        self.now = 0.0
        self.events: list[tuple[float, int, str, int]] = []
        self.serial = 0
        self.queues: tuple[deque[tuple[int, Instruction]], ...] = (deque(), deque(), deque())
        self.free = [0.0, 0.0, 0.0]
        self.semaphores = [0] * 16
        self.starts: tuple[list[float], ...] = ([], [], [])
        self.flows: tuple[deque[_Flow], deque[_Flow]] = (deque(), deque())
        self.busy = 0
        self.result_bytes = 1
        self.array_end = 0.0
        self.retired_end = 0.0
        self.in_compute = 0
        self.compute_free = 0.0
        self.array_cycles = 0
        self.work = [0.0, 0.0]
        self.fetch_debt = 0.0

    # -- events -----------------------------------------------------------------------------------

    def at(self, time: float, kind: str, value: int = 0) -> None:
        self.serial += 1
        heapq.heappush(self.events, (time, self.serial, kind, value))

    def post(self, time: float, instruction: Instruction) -> None:
        """Retire `instruction` at `time`."""
        self.busy += 1
        self.at(time, "retire")
        for number in instruction.posts:
            self.at(time, "post", number)

    # -- flows ------------------------------------------------------------------------------------

    def rates(self) -> tuple[float, float]:
        """Progress per cycle of the head of each direction."""
        heads = [f[0] if f and f[0].ready else None for f in self.flows]
        demand = sum(h.rate for h in heads if h)
        share = min(1.0, self.memory.deliverable_bytes_per_cycle / demand) if demand else 1.0
        return tuple(share if h else 0.0 for h in heads)  # type: ignore[return-value]

    def advance(self, time: float) -> None:
        span = time - self.now
        if span > 0:
            for flow, rate in zip(self.flows, self.rates()):
                if rate:
                    flow[0].left -= span * rate
        self.now = time

    def next_flow_event(self) -> float:
        times = []
        for flow, rate in zip(self.flows, self.rates()):
            if rate:
                head = flow[0]
                times.append(self.now + max(head.left, 0.0) / rate)
        return min(times, default=math.inf)

    def finish_flows(self) -> None:
        t = self.timing
        for direction, flow in enumerate(self.flows):
            if flow and flow[0].ready and flow[0].left <= 1e-6:
                head = flow.popleft()
                instruction = self.transfers[direction].popleft()
                if direction == 0:
                    self.post(self.now + t.load_back, instruction)
                else:
                    self.post(self.now + self.memory.write_latency + t.store_back, instruction)
                self.busy -= 1
                del head

    transfers: tuple[deque[Instruction], deque[Instruction]]

    # -- units ------------------------------------------------------------------------------------

    def start_transfer(self, instruction: Instruction, direction: int) -> None:
        config, memory, t = self.config, self.memory, self.timing
        latency, outstanding = (
            (memory.write_latency, config.write_outstanding)
            if direction
            else (memory.read_latency, config.read_outstanding)
        )
        shape = (
            config.axi_ports,
            config.beat_bytes,
            config.stripe_bytes,
            latency + 8,
            outstanding,
            t.burst_gap,
        )
        around = config.stripe_bytes * config.axi_ports
        rows, size = instruction["rows"], instruction["bytes"]
        pitch = instruction["dram_pitch"]
        work = _port_cycles(
            instruction["dram_offset"] % around,
            pitch % around if rows > 1 else 0,
            rows,
            size,
            shape,
        )
        if rows > 1 and pitch != size:
            work = max(work, rows * t.row_cycles)
        self.work[direction] += work
        flow = _Flow(0, max(work, 1.0), rows * size)
        front = t.store_front if direction else t.load_front + latency
        self.flows[direction].append(flow)
        self.transfers[direction].append(instruction)
        self.busy += 1
        self.at(self.now + front, "flow", direction)

    def start_compute(self, instruction: Instruction) -> None:
        config, t = self.config, self.timing
        if instruction.opcode is Opcode.SETUP:
            self.result_bytes = ResultType(instruction["result_type"]).bytes
            self.compute_free = self.now + t.issue
            self.post(self.now + 1, instruction)
            return
        counts = instruction.vector("count")
        levels = instruction["tile_levels"]
        rows = math.prod(counts[:levels])
        tiles = math.prod(counts[levels:])
        reduced = math.prod(
            c for i, c in enumerate(counts) if instruction["reduction"] >> i & 1
        )
        last_tiles = tiles // reduced if instruction["last"] else 0
        period = max(rows, config.tile_words)
        paced = max(period, rows * config.row_cycles(self.result_bytes), config.cols // 2)
        cycles = (tiles - last_tiles) * period + last_tiles * paced
        ready = self.now + t.compute_front
        begin = max(self.array_end, ready)
        if ready + config.tile_words > self.array_end:
            begin = max(begin, ready + config.tile_words + t.weights_front)
        self.compute_free = max(self.now + t.issue, self.array_end)
        self.array_end = begin + cycles
        self.array_cycles += cycles
        retire = self.array_end + config.rows + config.cols // 2 + t.compute_back
        self.retired_end = retire
        self.post(retire, instruction)
        self.at(self.compute_free, "wake")

    def can_start(self, unit: int) -> bool:
        _, instruction = self.queues[unit][0]
        if any(self.semaphores[number] == 0 for number in instruction.waits):
            return False
        if self.now < self.free[unit]:
            return False
        if unit == 1:
            limit = self.compute_free
            if instruction.opcode is Opcode.SETUP:
                limit = max(limit, self.retired_end)
            if self.now < limit:
                self.at(limit, "wake")
                return False
            return True
        # The next transfer's bursts start while the last ones of the previous are in flight.
        flow = self.flows[0 if unit == 0 else 1]
        if not flow:
            return True
        window = self.window[0 if unit == 0 else 1]
        left = sum(f.left for f in flow)
        if left <= window + 1e-6:
            return True
        _, rate = 0, self.rates()[0 if unit == 0 else 1]
        if rate:
            self.at(self.now + (left - window) / rate, "wake")
        return False

    window: tuple[float, float]

    def run(self, on_start: object) -> float:
        """Work until nothing is left; `on_start(unit)` is called as a queue gives up its head."""
        t = self.timing
        self.transfers = (deque(), deque())
        self.window = (
            float(min(self.config.read_outstanding * BURST_BEATS, self.memory.read_latency)),
            float(t.store_front),
        )
        last = 0.0
        while True:
            progress = True
            while progress:
                progress = False
                self.finish_flows()
                for unit in range(3):
                    if self.queues[unit] and self.can_start(unit):
                        index, instruction = self.queues[unit].popleft()
                        for number in instruction.waits:
                            self.semaphores[number] -= 1
                        self.free[unit] = self.now + t.issue
                        self.at(self.free[unit], "wake")
                        self.starts[unit].append(self.now)
                        if unit == 1:
                            self.start_compute(instruction)
                        else:
                            self.start_transfer(instruction, 0 if unit == 0 else 1)
                        on_start(unit)  # type: ignore[operator]
                        progress = True
            time = min(self.events[0][0] if self.events else math.inf, self.next_flow_event())
            if time == math.inf:
                break
            self.advance(time)
            while self.events and self.events[0][0] <= self.now:
                _, _, kind, value = heapq.heappop(self.events)
                if kind == "post":
                    self.semaphores[value] += 1
                elif kind == "retire":
                    self.busy -= 1
                    last = self.now
                elif kind == "flow":
                    next(f for f in self.flows[value] if not f.ready).ready = True
                elif kind == "fetched":
                    on_start(-1)  # type: ignore[operator]
        if any(self.queues):
            raise UsageError("the program waits for a semaphore that nothing posts")
        return last


def simulate_units(
    units: Sequence[Sequence[Instruction]],
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing = TIMING,
) -> tuple[list[float], ...]:
    """Start times when every unit has all its instructions at once: load, compute, store."""
    machine = _Machine(config, memory, timing)
    for queue, instructions in zip(machine.queues, units):
        queue.extend(enumerate(instructions))
    machine.run(lambda unit: None)
    return machine.starts


_UNIT_INDEX = {Unit.LOAD: 0, Unit.COMPUTE: 1, Unit.STORE: 2}


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
    depths = (config.load_queue, config.compute_queue, config.store_queue)
    beats = INSTRUCTION_BYTES // config.beat_bytes
    per_burst = BURST_BEATS // beats
    ahead = timing.fetch_ahead_bursts * per_burst
    arrival: list[float] = []
    state = {"next": 0, "asked": 0}
    body = [i for i in program if i.opcode is not Opcode.END]

    def ask() -> None:
        while state["asked"] < len(program) and state["asked"] + per_burst <= (
            state["next"] + ahead
        ):
            first = state["asked"]
            count = min(per_burst, len(program) - first)
            base = machine.now + memory.read_latency + timing.decode
            base += timing.doorbell if first == 0 else 0
            for i in range(count):
                previous = arrival[-1] if arrival else 0.0
                arrival.append(max(base + (i + 1) * beats, previous + beats))
                machine.at(arrival[-1], "fetched")
            if machine.flows[0]:
                machine.flows[0][0].left += count * INSTRUCTION_BYTES / config.dma_bytes
            state["asked"] += count

    def dispatch(unit: int) -> None:
        while state["next"] < len(body) and state["next"] < len(arrival):
            index = state["next"]
            if arrival[index] > machine.now:
                break
            target = _UNIT_INDEX[body[index].unit]
            queue = machine.queues[target]
            if len(queue) >= depths[target]:
                break
            if not queue:
                machine.free[target] = max(machine.free[target], machine.now + timing.issue)
                machine.at(machine.free[target], "wake")
            queue.append((index, body[index]))
            state["next"] += 1
        ask()

    ask()
    end = machine.run(dispatch)
    if state["next"] < len(body):
        raise UsageError("the program deadlocks: its queues are full and nothing can start")
    end = max(end, arrival[len(program) - 1])
    return Prediction(
        cycles=round(end + timing.done),
        array_cycles=machine.array_cycles,
        read_cycles=machine.work[0],
        write_cycles=machine.work[1],
    )
