"""A mapped design as one list of cells, over the whole hierarchy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CLOCKS", "Cell", "Netlist", "flatten"]

#: Pins of clocked cells that take the clock.
CLOCKS = ("C", "CLK", "CLKARDCLK", "CLKBWRCLK", "WCLK")


@dataclass(frozen=True)
class Cell:
    """One cell: the block that it is in, its place, its type, and the nets at its pins.

    A net is a number; None is a constant.
    """

    block: str
    place: str
    kind: str
    inputs: dict[str, list[int | None]]
    outputs: dict[str, list[int | None]]


@dataclass
class Netlist:
    """Cells and ports of a design; `names` of nets are ``instance.path/signal``.

    named holds the nets that a signal of the design is, the others have the name of their place.
    """

    names: list[str] = field(default_factory=list)
    named: set[int] = field(default_factory=set)
    cells: list[Cell] = field(default_factory=list)
    inputs: dict[str, list[int]] = field(default_factory=dict)
    outputs: dict[str, list[int]] = field(default_factory=dict)


def flatten(netlists: dict[str, dict[str, Any]], top: str) -> Netlist:
    """All cells below `top`, with the nets that they share."""
    flat = Netlist()

    def fresh(name: str, named: bool) -> int:
        flat.names.append(name)
        if named:
            flat.named.add(len(flat.names) - 1)
        return len(flat.names) - 1

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
                nets[bit] = fresh(labels.get(bit, place), bit in labels)
            return nets[bit]

        for name, cell in module["cells"].items():
            kind = cell["type"]
            wires = {port: [net(b) for b in bits] for port, bits in cell["connections"].items()}
            if kind in netlists:
                inner = name.split(".")[-1]
                elaborate(kind, f"{place}.{inner}" if place else inner, wires)
                continue
            into = {p for p in wires if cell["port_directions"][p] == "input"}
            flat.cells.append(
                Cell(
                    block,
                    place,
                    kind,
                    {p: v for p, v in wires.items() if p in into},
                    {p: v for p, v in wires.items() if p not in into},
                )
            )

    pins = {
        port: [fresh(f"{port}[{i}]", True) for i in range(len(value["bits"]))]
        for port, value in netlists[top]["ports"].items()
    }
    for port, value in netlists[top]["ports"].items():
        (flat.outputs if value["direction"] == "output" else flat.inputs)[port] = pins[port]
    elaborate(top, "", pins)
    return flat
