"""The units of the machine, in one table: what control, toolchain and documents iterate.

A new unit is a member of :class:`Unit`, a row of :data:`UNITS`, its opcodes with their layouts, its
queue's depth in ``config``, and its block. Standard library only.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..config import AcceleratorConfig
from .opcodes import Opcode

__all__ = [
    "OPCODE_UNITS",
    "UNITS",
    "Counter",
    "Unit",
    "UnitSpec",
    "opcode_units",
    "queued",
    "unit_counters",
    "units_of",
]


class Unit(enum.IntEnum):
    """Who executes an instruction. Each unit but control has a queue and works in order."""

    CONTROL = 0
    LOAD = 1
    COMPUTE = 2
    STORE = 3
    DEPTHWISE = 4


@dataclass(frozen=True)
class Counter:
    """A performance counter: 32 bits, at place `slot` among the counters' registers.

    Slots are stable: a new counter takes a free one. Control itself drives ``cycles``,
    ``instructions`` and the ``_wait_semaphore`` of each unit; every other counter is an input of
    control, of the counter's name, that says by how much it grows.
    """

    name: str
    slot: int
    doc: str


@dataclass(frozen=True)
class UnitSpec:
    """One row of the table.

    Parameters
    ----------
    unit : Unit
        Its number on wires.
    opcodes : tuple of Opcode
        What it executes.
    queue : str or None
        Field of ``AcceleratorConfig`` with the depth of its queue; None where it has no queue.
    counters : tuple of Counter
        What it counts.
    may_wait, may_post : bool
        Whether its instructions may wait on semaphores, and post them.
    in_order : bool
        It reads and writes memory in program order; any other unit moves an instruction's data in
        any order between start and retirement.
    needs : str or None
        Field of ``AcceleratorConfig`` that is zero where an accelerator has no such unit.
    """

    unit: Unit
    opcodes: tuple[Opcode, ...]
    queue: str | None
    counters: tuple[Counter, ...]
    may_wait: bool = True
    may_post: bool = True
    in_order: bool = False
    needs: str | None = None

    @property
    def name(self) -> str:
        """Name in ports, registers and documents."""
        return self.unit.name.lower()


#: All units. Where two could take a semaphore in one cycle, or report an error, the earlier wins.
UNITS: tuple[UnitSpec, ...] = (
    UnitSpec(
        Unit.CONTROL,
        (Opcode.END,),
        queue=None,
        counters=(
            Counter("cycles", 0, "cycles from the doorbell to done"),
            Counter("instructions", 1, "instructions retired, END included"),
            Counter("beats_fetched", 12, "data beats read by instruction fetch"),
        ),
        may_wait=False,
        may_post=False,
    ),
    UnitSpec(
        Unit.LOAD,
        (Opcode.LOAD,),
        queue="load_queue",
        counters=(
            Counter("load_busy", 5, "cycles in which the load unit had a transfer in flight"),
            Counter(
                "load_wait_semaphore",
                6,
                "cycles in which the load unit had an instruction that waited",
            ),
            Counter(
                "write_conflicts", 10, "cycles in which a load write lost its bank to a result"
            ),
            Counter("beats_read", 11, "data beats read by the load unit, all ports"),
        ),
    ),
    UnitSpec(
        Unit.COMPUTE,
        (Opcode.SETUP, Opcode.MATMUL),
        queue="compute_queue",
        counters=(
            Counter("array_rows", 2, "rows that entered the array: MAC slots used / (R * C)"),
            Counter(
                "compute_wait_semaphore",
                3,
                "cycles in which the compute unit had an instruction that waited",
            ),
            Counter(
                "compute_wait_weights",
                4,
                "cycles in which a row waited for its tile, or for result pacing",
            ),
        ),
        in_order=True,
    ),
    UnitSpec(
        Unit.STORE,
        (Opcode.STORE,),
        queue="store_queue",
        counters=(
            Counter("store_busy", 7, "cycles in which the store unit had a transfer in flight"),
            Counter(
                "store_wait_semaphore",
                8,
                "cycles in which the store unit had an instruction that waited",
            ),
            Counter("read_conflicts", 9, "cycles in which a store read lost its bank to the array"),
            Counter("beats_written", 13, "data beats written, all ports"),
        ),
    ),
    UnitSpec(
        Unit.DEPTHWISE,
        (Opcode.DEPTHWISE,),
        queue="depthwise_queue",
        counters=(
            Counter("depthwise_fires", 14, "cycles in which the depthwise lanes multiplied"),
            Counter(
                "depthwise_wait_semaphore",
                15,
                "cycles in which the depthwise unit had an instruction that waited",
            ),
            Counter(
                "depthwise_conflicts",
                16,
                "cycles in which a read or a write of the depthwise unit lost its bank",
            ),
        ),
        in_order=True,
        needs="tap_words",
    ),
)


def units_of(config: AcceleratorConfig, units: Sequence[UnitSpec] = UNITS) -> tuple[UnitSpec, ...]:
    """The units that an accelerator has."""
    return tuple(spec for spec in units if spec.needs is None or getattr(config, spec.needs))


def queued(units: Sequence[UnitSpec] = UNITS) -> tuple[UnitSpec, ...]:
    """The units that have a queue, in order of priority."""
    return tuple(spec for spec in units if spec.queue is not None)


def opcode_units(units: Sequence[UnitSpec] = UNITS) -> dict[Opcode, Unit]:
    """Who executes each opcode."""
    return {opcode: spec.unit for spec in units for opcode in spec.opcodes}


def unit_counters(units: Sequence[UnitSpec] = UNITS) -> tuple[Counter, ...]:
    """All counters in order of their slots.

    Raises
    ------
    ValueError
        Two counters have the same slot or name.
    """
    found = sorted((c for spec in units for c in spec.counters), key=lambda c: c.slot)
    for a, b in zip(found, found[1:]):
        if a.slot == b.slot:
            raise ValueError(f"counters {a.name} and {b.name} must not share slot {a.slot}")
    names = [c.name for c in found]
    if len(set(names)) < len(names):
        raise ValueError(f"counters must have different names, not {', '.join(names)}")
    return tuple(found)


#: Who executes each opcode of the instruction set.
OPCODE_UNITS: Mapping[Opcode, Unit] = MappingProxyType(opcode_units())
