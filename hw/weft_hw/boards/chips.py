"""Chips and what their programmable logic holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["CHIPS", "RESOURCES", "Chip"]

#: Resources that are counted, as attributes of `Chip` and of cell counts.
RESOURCES = ("lut", "ff", "bram36", "uram", "dsp")


@dataclass(frozen=True)
class Chip:
    """A chip: `part` is its full name as Vivado takes it, with package, speed and temperature.

    target is the form of the cells (``target.TARGETS``) that it has primitives for; the totals are
    those of `source`.
    """

    part: str
    target: str
    lut: int
    ff: int
    bram36: int
    uram: int
    dsp: int
    source: str


_DS891 = "DS891, Zynq UltraScale+ MPSoC overview"

#: By part.
CHIPS: Mapping[str, Chip] = MappingProxyType(
    {
        c.part: c
        for c in (
            Chip(
                "xc7z020clg400-1", "xc7", 53_200, 106_400, 140, 0, 220,
                "DS190, Zynq-7000 SoC overview",
            ),
            # Of the Ultra96-V2; the V1 has the same chip in the extended temperature range, -1-e.
            Chip("xczu3eg-sbva484-1-i", "xcup", 70_560, 141_120, 216, 0, 360, _DS891),
            Chip("xczu3eg-sfvc784-2-e", "xcup", 70_560, 141_120, 216, 0, 360, _DS891),
            Chip(
                "xck26-sfvc784-2LV-c", "xcup-uram", 117_120, 234_240, 144, 64, 1_248,
                "DS987, Kria K26 SOM data sheet",
            ),
            Chip("xczu7ev-ffvc1156-2-e", "xcup-uram", 230_400, 460_800, 312, 96, 1_728, _DS891),
        )
    }
)  # fmt: skip
