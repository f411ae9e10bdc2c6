"""The recorded figures of this repository, and how far a run may exceed them.

    python scripts/record_resources.py tiny pynq-z2     counts: hw/resources.json
    python scripts/record_resources.py --fmax tiny      clock rates on an ECP5: hw/fmax.json

with the Python of .venv, write the figures of these presets again, and the tables of
docs/measured-resources.md that are made of them. What they write belongs into the commit that
changes the figures. Without a preset only the tables are written.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weft.synth import Report, synthesise
from weft.synth.counts import CellCounts
from weft.synth.ecp5 import MAIN_BLOCKS
from weft.synth.fit import RECORD, recorded
from weft.synth.flows import CORE, WHOLE, Job, flow
from weft_hw.boards import RESOURCES
from weft_hw.config import preset
from weft_hw.platform import default_board

__all__ = ["FMAX", "GROWTH", "PAGE", "growth", "page", "record"]

ROOT = Path(__file__).resolve().parent.parent
FMAX = ROOT / "hw" / "fmax.json"
PAGE = ROOT / "docs" / "measured-resources.md"
_OUTPUT = ROOT / "build" / "synth"
#: A count may exceed the record by this share.
GROWTH = 0.03
#: Cells by which a block may exceed it as well: a gate more in a small block is no growth.
SLACK = {"lut": 10, "ff": 10}
#: Kept of each block: resources, and what the table of the page holds beside them.
_KEPT = (*RESOURCES, "lut_memory", "instances")
_BLOCK = re.compile(r"(<!-- BEGIN GENERATED: (.*?) -->\n).*?(<!-- END GENERATED -->)", re.S)


def record(report: Report) -> dict[str, Any]:
    """What the record keeps of a run: form of the cells, and counts and levels of each block."""
    levels = {path.block: path.levels for path in report.paths}
    return {
        "target": report.target,
        "blocks": {
            counts.name: {name: getattr(counts, name) for name in _KEPT}
            | {"levels": levels.get(counts.name, 0)}
            for counts in report.counts
        },
    }


def growth(counts: Sequence[CellCounts], kept: dict[str, Any]) -> list[str]:
    """A phrase for each resource that exceeds the record by more than GROWTH, block by block.

    The first of `counts` is the whole design, whose limit is GROWTH alone; a block has SLACK, too.
    A block that the record does not hold, and one that is gone, are phrases as well.
    """
    old = kept["blocks"]
    said = [f"{name} is gone" for name in old if name not in {c.name for c in counts}]
    for block in counts:
        if block.name not in old:
            said.append(f"{block.name} is not recorded")
            continue
        for name in RESOURCES:
            now, then = getattr(block, name), old[block.name][name]
            slack = SLACK.get(name, 0) if block is not counts[0] else 0
            if now > then * (1 + GROWTH) and now > then + slack:
                said.append(f"{block.name}: {name} {now:g}, recorded {then:g}")
    return said


def page(text: str) -> str:
    """`text` with its generated tables made again of the records."""
    tables = {
        "python scripts/record_resources.py tiny pynq-z2": _counts_table,
        "python scripts/record_resources.py --fmax tiny": _fmax_table,
    }
    return _BLOCK.sub(lambda m: m[1] + tables[m[2]]() + m[3], text)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "".join([_row(columns), _row(["---"] * len(columns)), *(_row(row) for row in rows)])


def _counts_table() -> str:
    """Totals of each recorded preset, then the blocks of each."""
    text = ""
    for name, kept in recorded().items():
        board = default_board(preset(name))
        chip = board.chip
        total = kept["blocks"][WHOLE]
        shares = ", ".join(
            f"{total[r]:,g} of {getattr(chip, r):,} {word} ({total[r] / getattr(chip, r):.1%})"
            for r, word in zip(RESOURCES, ("LUT", "FF", "BRAM36", "URAM", "DSP"), strict=True)
            if getattr(chip, r)
        )
        text += f"\n`{name}`, {kept['target']} cells, on the chip of {board.name}: {shares}.\n\n"
        text += _table(
            ("block", "times", "LUT", "LUT memory", "FF", "DSP", "BRAM36", "LUT levels"),
            [
                (
                    f"`{block.removeprefix(CORE)}`", row["instances"], row["lut"],
                    row["lut_memory"], row["ff"], row["dsp"], f"{row['bram36']:g}", row["levels"],
                )
                for block, row in kept["blocks"].items()
            ],
        )
    return text + "\n"


def _fmax_table() -> str:
    """Clock rate of each recorded preset and block, and the ends of the path that limits it."""
    text = ""
    for name, kept in recorded(FMAX).items():
        text += f"\n`{name}` on an {kept['part']}, portable cells, seed 1:\n\n"
        text += _table(
            ("block", "MHz after routing", "LUT", "FF", "critical path from", "to"),
            [
                (
                    "the whole" if block == WHOLE else f"`{block}`", f"{row['fmax_mhz']:.1f}",
                    row["lut"], row["ff"], f"`{row['begin']}`", f"`{row['end']}`",
                )
                for block, row in kept["blocks"].items()
            ],
        )
    return text + "\n"


def _fmax(name: str, blocks: tuple[str, ...]) -> dict[str, Any]:
    """Figures of the blocks of preset `name`."""

    def say(done: int = 1, /, *, text: str | None = None) -> None:
        if text:
            print(time.strftime("%H:%M:%S"), text, file=sys.stderr)

    config = preset(name)
    routes = flow("ecp5").route(Job(config, _OUTPUT, default_board(config), blocks, say))
    return {
        "part": routes[0].part,
        "blocks": {
            route.block: {
                "fmax_mhz": round(route.fmax_mhz, 1),
                "lut": route.used.get("TRELLIS_COMB", 0),
                "ff": route.used.get("TRELLIS_FF", 0),
                "begin": route.begin,
                "end": route.end,
            }
            for route in routes
        },
    }


def main(arguments: list[str]) -> None:
    """Command line."""
    fmax = "--fmax" in arguments
    path = FMAX if fmax else RECORD
    kept = recorded(path)
    for name in [a for a in arguments if a != "--fmax"]:
        if fmax:
            kept[name] = _fmax(name, (*MAIN_BLOCKS, WHOLE))
        else:
            kept[name] = record(synthesise(preset(name), _OUTPUT))
        path.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
