"""Cycles of a program: fetch, the units and the DRAM that they share, event by event.

Whole instructions are followed, not beats. Every constant is a field of :class:`.timing.Timing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.dram import MemoryModel
from weft.errors import UsageError
from weft_hw.config import BURST_BEATS, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES, UNITS, Instruction, Opcode, Unit, UnitSpec

from .machine import ENGINES, Engines, Machine
from .timing import TIMING, Timing

__all__ = ["Prediction", "predict", "simulate_units"]


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


def simulate_units(
    work: Mapping[Unit, Sequence[Instruction]],
    config: AcceleratorConfig,
    memory: MemoryModel,
    timing: Timing = TIMING,
    *,
    units: Sequence[UnitSpec] = UNITS,
    engines: Engines = ENGINES,
) -> dict[Unit, list[float]]:
    """Start times when every unit has all its instructions at once, by unit in order of priority.

    A unit without an entry in `work` has nothing to do.
    """
    machine = Machine(config, memory, timing, units=units, engines=engines)
    for spec, queue in zip(machine.units, machine.queues):
        queue.extend(work.get(spec.unit, ()))
    machine.run(lambda: None)
    return {spec.unit: times for spec, times in zip(machine.units, machine.starts)}


class _Fetch:
    """Brings a program in bursts and puts it into the queues, in order."""

    def __init__(self, machine: Machine, program: Sequence[Instruction]) -> None:
        self.machine = machine
        self.body = [i for i in program if i.opcode is not Opcode.END]
        positions = {op: u for u, spec in enumerate(machine.units) for op in spec.opcodes}
        self.units = [positions[i.opcode] for i in self.body]
        config = machine.config
        self.total, self.next = len(program), 0
        self.depths = [getattr(config, str(spec.queue)) for spec in machine.units]
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
            machine.fetched(count * self.beats)

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
    *,
    units: Sequence[UnitSpec] = UNITS,
    engines: Engines = ENGINES,
) -> Prediction:
    """Cycles of `program`, from doorbell to done, on a machine with these units.

    Raises
    ------
    UsageError
        The program deadlocks.
    """
    machine = Machine(config, memory, timing, units=units, engines=engines)
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
