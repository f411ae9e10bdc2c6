"""Whether counts fit a board."""

from __future__ import annotations

from weft_hw.boards import BOARDS, RESOURCES, Board
from weft_hw.config import PRESETS

from .counts import CellCounts

__all__ = ["misfits", "where"]

_WORDS = {"lut": "LUT", "ff": "flip-flops", "bram36": "BRAM36", "uram": "URAM", "dsp": "DSP"}


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
