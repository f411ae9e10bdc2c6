"""What ``weft synth --json`` prints: everything that is known of each block."""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.results import BESIDE, OMITTED
from weft_hw.boards import Board

from .counts import CellCounts
from .depth import Path
from .fanout import Net
from .fit import misfits
from .flows import Route
from .run import Report

__all__ = ["Block", "blocks_of"]


@dataclass(frozen=True)
class Block:
    """Mapped cells of a block, the top first.

    fanout: the widest nets of the whole design, in the object of the top.
    """

    counts: CellCounts = field(metadata=BESIDE)
    target: str
    family: str
    path: Path | None = field(default=None, metadata=OMITTED)
    fanout: list[Net] = field(default_factory=list, metadata=OMITTED)
    board: str | None = field(default=None, metadata=OMITTED)
    fits: bool | None = field(default=None, metadata=OMITTED)
    fit: str | None = field(default=None, metadata=OMITTED)
    route: Route | None = field(default=None, metadata=OMITTED)


def blocks_of(
    report: Report, place: Board, sentence: str, routes: list[Route]
) -> list[Block]:
    """A result per block; what was routed is part of its block's."""
    levels = {path.block: path for path in report.paths}
    routed = {route.module: route for route in routes}
    results = []
    for counts in report.counts:
        whole = counts is report.total
        results.append(
            Block(
                counts,
                target=report.target,
                family=report.chip,
                path=levels.get(counts.name),
                fanout=report.nets if whole else [],
                board=place.name if whole else None,
                fits=not misfits(counts, place) if whole else None,
                fit=sentence if whole else None,
                route=routed.get(counts.name),
            )
        )
    return results
