"""Whether counts fit a board, and the counts on record in a checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import weft_hw
from weft_hw.boards import BOARDS, RESOURCES, Board
from weft_hw.config import PRESETS

from .counts import CellCounts

__all__ = ["RECORD", "misfits", "recorded", "where"]

#: Counts of presets, as scripts/record_resources.py writes them; a checkout has it.
RECORD = Path(weft_hw.__file__).parents[2] / "hw" / "resources.json"

_WORDS = {"lut": "LUT", "ff": "flip-flops", "bram36": "BRAM36", "uram": "URAM", "dsp": "DSP"}


def recorded(path: Path = RECORD) -> dict[str, Any]:
    """The record of a file, by preset; empty where there is none."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def misfits(counts: CellCounts, board: Board) -> list[str]:
    """What is too much for `board`, a phrase per resource; empty where all fits."""
    return [
        f"{getattr(counts, name):g} {_WORDS[name]} where it has {getattr(board.chip, name)} "
        f"({getattr(counts, name) / max(getattr(board.chip, name), 1) - 1:+.0%})"
        for name in RESOURCES
        if getattr(counts, name) > getattr(board.chip, name)
    ]


def where(counts: CellCounts, board: Board, name: str = "") -> str:
    """A sentence: which share of `board` is used, or what does not fit and where it would.

    `name` is the configuration's, which is not named as its own remedy.
    """
    wrong = misfits(counts, board)
    if not wrong:
        shares = ", ".join(
            f"{getattr(counts, name) / getattr(board.chip, name):.0%} {_WORDS[name]}"
            for name in RESOURCES
            if getattr(board.chip, name)
        )
        return f"fits {board.name} ({board.chip.part}): {shares}"
    others = [b.name for b in BOARDS.values() if b is not board and not misfits(counts, b)]
    remedy = f"fits {', '.join(others)}" if others else "no board of the table holds it"
    made = board.name in PRESETS and name != board.name
    smaller = f"; the preset made for {board.name} is {board.name}" if made else ""
    return f"does not fit {board.name} ({board.chip.part}): {'; '.join(wrong)}; {remedy}{smaller}"
