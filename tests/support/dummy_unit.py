"""A copy of the table of units with one more, as a new unit would be added."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import pytest

from weft_hw.config import AcceleratorConfig
from weft_hw.isa import LAYOUTS, UNITS, Counter, Layout, Opcode, Unit, UnitSpec, layouts


def _with_dummy(enumeration):
    """A copy of an enumeration of numbers with one member more; the others equal theirs."""
    members = {member.name: member.value for member in enumeration}
    return enum.IntEnum(enumeration.__name__, {**members, "DUMMY": max(members.values()) + 1})


DUMMY: Unit = _with_dummy(Unit).DUMMY
DUMMY_OPCODE: Opcode = _with_dummy(Opcode).DUMMY
#: A row before store, which thereby loses a place of priority.
WIDER: tuple[UnitSpec, ...] = (
    *UNITS[:3],
    UnitSpec(
        DUMMY,
        (DUMMY_OPCODE,),
        queue="dummy_queue",
        counters=(
            Counter("dummy_steps", 20, "steps of the dummy"),
            Counter("dummy_wait_semaphore", 21, "cycles in which the dummy had one that waited"),
        ),
    ),
    *UNITS[3:],
)


@dataclass(frozen=True, kw_only=True)
class WiderConfig(AcceleratorConfig):
    """A configuration with the depth of the dummy's queue."""

    dummy_queue: int = 2


def add_opcode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the dummy's opcode a layout: a header only."""
    monkeypatch.setitem(layouts._LAYOUTS, DUMMY_OPCODE, Layout(list(LAYOUTS[Opcode.END])))
