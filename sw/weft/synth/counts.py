"""Counts of mapped cells, block by block."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from weft.results import Count, Positive, named

__all__ = ["CellCounts", "count_cells", "hierarchy"]

#: LUT sites that a memory or shift register cell takes (UG474, tables 2-3 and 2-6; UG574).
_LUT_MEMORY = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM64X1S": 1,
    "RAM32X1S": 1,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
}


@dataclass
class CellCounts:
    """Mapped cells of one block with everything below it.

    name is the block's, instances how often it stands in the design (equal blocks are counted
    once). lut counts all LUT sites, lut_memory those of them that are memory or shift register; an
    inverter counts as a LUT. bram36 counts halves as 0.5; cells holds the count per cell type.
    """

    name: str = field(metadata=named("module"))
    instances: Positive = 1
    lut: Count = 0
    lut_memory: Count = 0
    ff: Count = field(default=0, metadata=named("flip_flops"))
    carry: Count = 0
    dsp: Count = 0
    bram36: float = 0.0
    uram: Count = 0
    cells: dict[str, Count] = field(default_factory=dict)

    def add(self, cell: str, count: int) -> None:
        """Count `count` cells of type `cell`."""
        self.cells[cell] = self.cells.get(cell, 0) + count
        if cell == "INV" or (cell.startswith("LUT") and cell[3:4].isdigit()):
            self.lut += count
        elif cell in _LUT_MEMORY:
            self.lut += count * _LUT_MEMORY[cell]
            self.lut_memory += count * _LUT_MEMORY[cell]
        elif cell.startswith(("FDRE", "FDSE", "FDCE", "FDPE")):
            self.ff += count
        elif cell in ("CARRY4", "CARRY8"):
            self.carry += count
        elif cell.startswith("DSP48E"):
            self.dsp += count
        elif cell.startswith("RAMB36"):
            self.bram36 += count
        elif cell.startswith("RAMB18"):
            self.bram36 += count / 2
        elif cell.startswith("URAM288"):
            self.uram += count


def count_cells(netlists: dict[str, dict[str, Any]]) -> dict[str, Counter[str]]:
    """Cells of each netlist by type; those of other netlists are of their own type."""
    return {
        name: Counter(cell["type"] for cell in module["cells"].values())
        for name, module in netlists.items()
    }


def hierarchy(own: dict[str, Counter[str]]) -> list[CellCounts]:
    """Sums over the hierarchy: the top first, then every other block once, by name.

    `own` holds the cells of each block by type, every block behind those that it contains.
    """
    totals: dict[str, CellCounts] = {}
    for name, cells in own.items():
        counts = totals[name] = CellCounts(name, instances=0)
        for cell, number in cells.items():
            for kind, below in (totals[cell].cells if cell in own else {cell: 1}).items():
                counts.add(kind, number * below)
    *_, top = own
    totals[top].instances = 1
    for name in reversed(own):
        for cell, number in own[name].items():
            if cell in own:
                totals[cell].instances += totals[name].instances * number
    return [totals.pop(top), *(totals[name] for name in sorted(totals))]
