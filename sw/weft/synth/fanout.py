"""Fan-out of a mapped netlist: how many pins each net has to reach."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from weft.results import Count, named

from .netlist import CLOCKS, Netlist

__all__ = ["WIDEST", "Net", "widest"]

#: Nets of a report.
WIDEST = 10
#: Pins of registers, memories and DSP48 that hold a state, or clear it.
_ENABLE = re.compile(r"CE[A-Z0-9]*|EN[A-Z]*|WE[A-Z]*|REGCE[A-Z]*")
_RESET = re.compile(r"[RS]|CLR|PRE|RST[A-Z0-9]*")


@dataclass(frozen=True)
class Net:
    """A net and the pins that it drives.

    name is its place and signal; one without a signal of the design has that of a register that it
    reaches, in brackets. block holds its driver. loads counts pins, enables and resets those of
    them that enable or clear a register, a memory or a DSP48; the rest are inputs of logic and
    data. The clock is no net here.
    """

    name: str = field(metadata=named("net"))
    block: str = field(metadata=named("module"))
    loads: Count
    enables: Count = 0
    resets: Count = 0

    @property
    def control(self) -> int:
        """Loads that are enables or resets."""
        return self.enables + self.resets


def widest(flat: Netlist, number: int | None = WIDEST) -> list[Net]:
    """The `number` nets with most loads, the widest first; all where it is None."""
    loads: Counter[int] = Counter()
    enables: Counter[int] = Counter()
    resets: Counter[int] = Counter()
    drivers: dict[int, str] = {}
    reached: dict[int, str] = {}

    def nets(wires: Iterable[int | None]) -> list[int]:
        return [wire for wire in wires if wire is not None]

    for cell in flat.cells:
        drivers |= {net: cell.block for wires in cell.outputs.values() for net in nets(wires)}
        state = not cell.kind.startswith(("LUT", "INV", "MUXF", "CARRY"))
        target = [net for wires in cell.outputs.values() for net in nets(wires)]
        for pin, wires in cell.inputs.items():
            if pin in CLOCKS:
                continue
            for net in nets(wires):
                loads[net] += 1
                if state and target and target[0] in flat.named:
                    reached.setdefault(net, flat.names[target[0]])
                enables[net] += bool(state and _ENABLE.fullmatch(pin))
                resets[net] += bool(state and _RESET.fullmatch(pin))
    found = []
    for net, count in sorted(loads.items(), key=lambda item: (-item[1], item[0]))[:number]:
        name = flat.names[net]
        if net not in flat.named and net in reached:
            name += f" (to {reached[net]})"
        found.append(Net(name, drivers.get(net, "pins"), count, enables[net], resets[net]))
    return found
