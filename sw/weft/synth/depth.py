"""Logic depth of a mapped netlist: LUT levels between registers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from weft.results import named

from .netlist import CLOCKS, Netlist

__all__ = ["Ending", "Path", "deepest", "endings"]

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


@dataclass(frozen=True)
class Ending:
    """Where paths end: block, name, and the most LUT levels, carry cells and carry chains to it."""

    block: str
    name: str
    levels: int
    carries: int
    chains: int
    net: int = field(repr=False)


def endings(flat: Netlist, top: str) -> list[Ending]:
    """Every clocked input, and every output, with the depth of what leads to it."""
    return _followed(flat, top)[0]


def deepest(flat: Netlist, top: str) -> list[Path]:
    """The deepest path of each block, over the whole hierarchy, the deepest first.

    A path begins at a clocked output (register, block memory, DSP) or an input of the design, and
    ends at a clocked input or an output; it belongs to the block that holds its end.
    """
    ends, before = _followed(flat, top)
    worst: dict[str, Ending] = {}
    for end in ends:
        known = worst.get(end.block)
        if known is None or (end.levels, end.carries) > (known.levels, known.carries):
            worst[end.block] = end
    paths = []
    for end in worst.values():
        nets, net = [], end.net
        while net >= 0:
            nets.append(flat.names[net])
            net = before[net]
        nets.reverse()
        paths.append(Path(end.block, end.levels, end.carries, nets[0], end.name, nets))
    return sorted(paths, key=lambda p: (-p.levels, -p.carries, p.block))


def _followed(flat: Netlist, top: str) -> tuple[list[Ending], dict[int, int]]:
    """All endings, and the net before each net on the deepest path to it, -1 at its beginning."""
    drivers: dict[int, tuple[int, list[int], bool]] = {}  # net -> levels, inputs, carry
    ends: list[tuple[int, str, str]] = []  # net, block, name of the end
    for cell in flat.cells:
        kind, inputs = cell.kind, cell.inputs
        outputs = [w for v in cell.outputs.values() for w in v]
        if _LUT.match(kind) or kind in _LEVELS:
            through, levels = [w for v in inputs.values() for w in v], _LEVELS.get(kind, 1)
        elif _ASYNCHRONOUS.match(kind):
            through = [w for p, v in inputs.items() if _ADDRESS.fullmatch(p) for w in v]
            levels = 1
        else:
            through, levels = [], -1
        for wire in outputs:
            if wire is not None and levels >= 0:
                drivers[wire] = (
                    levels, [w for w in through if w is not None], kind.startswith("CARRY")
                )
        if levels < 0 or _ASYNCHRONOUS.match(kind):
            target = next((flat.names[w] for w in outputs if w is not None), cell.place)
            for port, value in inputs.items():
                if port not in CLOCKS:
                    name = f"{target} ({kind}.{port})"
                    ends.extend((w, cell.block, name) for w in value if w is not None)
    for port, wires in flat.outputs.items():
        ends.extend((net, top, port) for net in wires)

    depth: dict[int, tuple[int, int]] = {}  # levels, carries
    chains: dict[int, int] = {}
    before: dict[int, int] = {}
    sources: dict[int, list[int]] = {net: [] for net, *_ in ends}
    sources |= {net: feeds for net, (_, feeds, _) in drivers.items()}
    for net in TopologicalSorter(sources).static_order():
        levels, feeds, carry = drivers.get(net, (0, [], False))
        deep = max(((*depth[s], s) for s in feeds), default=(0, 0, -1))
        depth[net], before[net] = (deep[0] + levels, deep[1] + carry), deep[2]
        # A carry cell begins a chain, unless it goes on with that of the cell before.
        chains[net] = max(
            (chains[s] + (carry and not drivers.get(s, (0, [], False))[2]) for s in feeds),
            default=0,
        )
    return [Ending(block, name, *depth[net], chains[net], net) for net, block, name in ends], before
