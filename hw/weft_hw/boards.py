"""Boards and what their chips hold."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOARDS", "RESOURCES", "Board"]

#: Resources that are counted, as attributes of `Board` and of cell counts.
RESOURCES = ("lut", "ff", "bram36", "uram", "dsp")


@dataclass(frozen=True)
class Board:
    """A board: `part` and the totals of its programmable logic.

    target is the form of the cells (``target.TARGETS``) that the part has primitives for. Totals
    are those of the vendor's data sheets (DS190, DS891, DS987).
    """

    name: str
    part: str
    target: str
    lut: int
    ff: int
    bram36: int
    uram: int
    dsp: int


#: By name.
BOARDS: dict[str, Board] = {
    b.name: b
    for b in (
        Board("pynq-z2", "xc7z020clg400-1", "xc7", 53_200, 106_400, 140, 0, 220),
        Board("ultra96", "xczu3eg-sbva484-1", "xcup", 70_560, 141_120, 216, 0, 360),
        Board("aup-zu3", "xczu3eg-sfvc784-2", "xcup", 70_560, 141_120, 216, 0, 360),
        Board("kv260", "xck26-sfvc784-2LV", "xcup-uram", 117_120, 234_240, 144, 64, 1_248),
        Board("zcu104", "xczu7ev-ffvc1156-2", "xcup-uram", 230_400, 460_800, 312, 96, 1_728),
    )
}
