"""Whether a configuration fits a board: by its memories, its counts, or those on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import weft_hw
from weft.errors import Unsupported
from weft_hw.boards import BOARDS, RESOURCES, Board
from weft_hw.config import PRESETS, AcceleratorConfig

from .counts import CellCounts

__all__ = ["RECORD", "check_fit", "misfits", "recorded", "where"]

#: Counts of presets, as scripts/record_resources.py writes them; a checkout has it.
RECORD = Path(weft_hw.__file__).parents[2] / "hw" / "resources.json"

#: Bytes of a block of 36 Kbit and of an UltraRAM, parity bits included: none holds more.
_BRAM36_BYTES, _URAM_BYTES = 4608, 36_864
_ACCUMULATOR_BYTES = 4
_WORDS = {"lut": "LUT", "ff": "flip-flops", "bram36": "BRAM36", "uram": "URAM", "dsp": "DSP"}


def recorded(path: Path = RECORD) -> dict[str, Any]:
    """The record of a file, by preset; empty where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


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


def check_fit(config: AcceleratorConfig, board: Board, target: str) -> None:
    """Refuse a configuration that exceeds its board, before hours of place and route.

    Its memories are compared with those of the chip. Presets whose synthesis with cells of `target`
    is on record in a checkout (``hw/resources.json``) are compared in all resources.

    Raises
    ------
    Unsupported
        The sentence says which resource, and by how much.
    """
    wanted = config.scratchpad_bytes + config.weight_buffer_bytes + config.parameter_bytes
    wanted += config.accumulator_rows * config.cols * _ACCUMULATOR_BYTES
    there = int(board.chip.bram36 * _BRAM36_BYTES + board.chip.uram * _URAM_BYTES)
    if wanted > there:
        raise Unsupported(
            f"{config.name} has {wanted >> 10} KiB of memory on the chip, {board.name} has "
            f"{there >> 10} KiB ({wanted / there - 1:+.0%})",
            "choose a smaller preset or a larger board",
        )
    for name, kept in recorded().items():
        if name in PRESETS and PRESETS[name].hash == config.hash and kept["target"] == target:
            total = kept["blocks"]["weft_top"]
            wrong = misfits(CellCounts(name, **{r: total[r] for r in RESOURCES}), board)
            if wrong:
                raise Unsupported(
                    f"{name} does not fit {board.name}: {'; '.join(wrong)}",
                    "choose a smaller preset or a larger board",
                )
