"""Logic depth of a mapped netlist: LUT levels between registers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from weft.results import named

__all__ = ["Path", "deepest"]

#: Cells that a path goes through, and the levels that they add. A wide multiplexer is part of its
#: slice's LUTs; a carry chain has its own fast wires.
_LEVELS = {"MUXF7": 0, "MUXF8": 0, "MUXF9": 0, "CARRY4": 0, "CARRY8": 0, "INV": 0}
_LUT = re.compile(r"LUT\d")
#: Outputs of memories that follow their address without a clock.
_ASYNCHRONOUS = re.compile(r"RAM(32|64|128|256)[XM]")
_ADDRESS = re.compile(r"ADDR[A-Z]|A\d|DPRA\d|A")


@dataclass
class Path:
    """The deepest path that ends in a block.

    levels counts LUTs, carries how many carry cells it goes through; begin and end name what
    drives the first and takes the last signal, as ``instance.path/signal``.
    """

    block: str = field(metadata=named("module"))
    levels: int
    carries: int
    begin: str
    end: str
    nets: list[str] = field(default_factory=list, repr=False)


def deepest(netlists: dict[str, dict[str, Any]], top: str) -> list[Path]:
    """The deepest path of each block, over the whole hierarchy, the deepest first.

    A path begins at a clocked output (register, block memory, DSP) or an input of the design, and
    ends at a clocked input or an output; it belongs to the block that holds its end.
    """
    names: list[str] = []  # of nets
    drivers: dict[int, tuple[int, list[int], bool]] = {}  # net -> levels, inputs, carry
    ends: list[tuple[int, str, str]] = []  # net, block, name of the end

    def fresh(name: str) -> int:
        names.append(name)
        return len(names) - 1

    def elaborate(block: str, place: str, pins: dict[str, list[Any]]) -> None:
        module = netlists[block]
        nets: dict[Any, Any] = {"0": None, "1": None, "x": None, "z": None}
        for port, value in module["ports"].items():
            for bit, outer in zip(value["bits"], pins[port], strict=False):
                nets.setdefault(bit, outer)
        labels: dict[Any, str] = {}
        for name, value in module["netnames"].items():
            for i, bit in enumerate(value["bits"]):
                labels.setdefault(bit, f"{place}/{name}" + (f"[{i}]" if len(value["bits"]) > 1
                                                            else ""))

        def net(bit: Any) -> Any:
            if bit not in nets:
                nets[bit] = fresh(labels.get(bit, place))
            return nets[bit]

        for name, cell in module["cells"].items():
            kind = cell["type"]
            wires = {port: [net(b) for b in bits] for port, bits in cell["connections"].items()}
            if kind in netlists:
                inner = name.split(".")[-1]
                elaborate(kind, f"{place}.{inner}" if place else inner, wires)
                continue
            directions = cell["port_directions"]
            inputs = {p: v for p, v in wires.items() if directions[p] == "input"}
            outputs = [w for p, v in wires.items() if directions[p] != "input" for w in v]
            if _LUT.match(kind) or kind in _LEVELS:
                through, levels = [w for v in inputs.values() for w in v], _LEVELS.get(kind, 1)
            elif _ASYNCHRONOUS.match(kind):
                through = [w for p, v in inputs.items() if _ADDRESS.fullmatch(p) for w in v]
                levels = 1
            else:
                through, levels = [], -1
            for wire in outputs:
                if wire is not None and levels >= 0:
                    sources = [w for w in through if w is not None]
                    drivers[wire] = levels, sources, kind.startswith("CARRY")
            if levels < 0 or _ASYNCHRONOUS.match(kind):
                target = next((names[w] for w in outputs if w is not None), place)
                for port, value in inputs.items():
                    if port in ("C", "CLK", "CLKARDCLK", "CLKBWRCLK", "WCLK"):
                        continue
                    ends.extend((w, block, f"{target} ({kind}.{port})") for w in value
                                if w is not None)

    pins = {
        port: [fresh(f"{port}[{i}]") for i in range(len(value["bits"]))]
        for port, value in netlists[top]["ports"].items()
    }
    elaborate(top, "", pins)
    for port, value in netlists[top]["ports"].items():
        if value["direction"] == "output":
            ends.extend((net, top, port) for net in pins[port])

    arrival: dict[int, tuple[int, int, int]] = {}  # levels, carries, net before

    sources: dict[int, list[int]] = {net: [] for net, *_ in ends}
    sources |= {net: inputs for net, (_, inputs, _) in drivers.items()}
    for net in TopologicalSorter(sources).static_order():
        levels, inputs, carry = drivers.get(net, (0, [], False))
        before = max(((*arrival[s][:2], s) for s in inputs), default=(0, 0, -1))
        arrival[net] = before[0] + levels, before[1] + carry, before[2]

    worst: dict[str, tuple[int, int, int, str]] = {}
    for net, block, end in ends:
        levels, carries, _ = arrival[net]
        if block not in worst or (levels, carries) > worst[block][:2]:
            worst[block] = levels, carries, net, end
    paths = []
    for block, (levels, carries, net, end) in worst.items():
        nets = []
        while net >= 0:
            nets.append(names[net])
            net = arrival[net][2]
        nets.reverse()
        paths.append(Path(block, levels, carries, nets[0], end, nets))
    return sorted(paths, key=lambda p: (-p.levels, -p.carries, p.block))
