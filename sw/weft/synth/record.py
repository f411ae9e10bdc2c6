"""The recorded counts of a checkout, ``hw/resources.json``, and how far a run may exceed them.

    python -m weft.synth.record tiny pynq-z2

writes the record again; it belongs into the commit that changes the counts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import weft_hw
from weft.synth.counts import CellCounts
from weft.synth.run import Report, synthesise
from weft_hw.boards import RESOURCES
from weft_hw.config import preset

__all__ = ["GROWTH", "RECORD", "growth", "record", "recorded"]

RECORD = Path(weft_hw.__file__).parents[1] / "resources.json"
#: A count may exceed the record by this share.
GROWTH = 0.03
_OUTPUT = Path(weft_hw.__file__).parents[2] / "build" / "synth"


def record(report: Report) -> dict[str, Any]:
    """What the record keeps of a run: the resources of the design and of its blocks, and levels."""
    return {
        "target": report.target,
        "levels": max(path.levels for path in report.paths),
        "blocks": {counts.name: _resources(counts) for counts in report.counts},
    }


def growth(total: CellCounts, kept: dict[str, Any]) -> list[str]:
    """A phrase for each resource of the design that exceeds the record by more than GROWTH."""
    old = kept["blocks"][total.name]
    return [
        f"{name} {getattr(total, name):g}, recorded {old[name]:g}"
        for name in RESOURCES
        if getattr(total, name) > old[name] * (1 + GROWTH)
    ]


def recorded() -> dict[str, Any]:
    """The record, by preset."""
    return dict(json.loads(RECORD.read_text())) if RECORD.exists() else {}


def _resources(counts: CellCounts) -> dict[str, float]:
    return {name: getattr(counts, name) for name in RESOURCES}


def _main(names: list[str]) -> None:
    kept = recorded()
    for name in names:
        kept[name] = record(synthesise(preset(name), _OUTPUT))
        print(name, kept[name]["blocks"]["weft_top"])
    RECORD.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
