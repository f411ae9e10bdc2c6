"""Forms of the array's cells: portable ones, and packed ones for the DSP blocks of a chip family.

A target changes how a core is built, not what it computes: it is no part of a configuration or of
its hash. Only the pipeline behind the array is a cycle longer with packed cells.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TARGETS", "Packing", "check_target"]


@dataclass(frozen=True)
class Packing:
    """How two weights share a multiplier: ``(w1 << shift) + w0`` times the activation.

    cascade products add up before the two sums part: while weights lie in -127..127 the lower sum
    fits `shift` bits, as 127 * 128 * cascade < 2**(shift - 1). `primitive` multiplies
    `operand_bits` by 18 bits. ultra_ram puts the scratchpad into UltraRAM and the accumulators into
    block RAM: together they are what such chips hold.
    """

    primitive: str
    operand_bits: int
    shift: int
    cascade: int
    ultra_ram: bool = False

    def ram_style(self, scratchpad: bool) -> dict[str, str]:
        """Attributes of a memory: of the scratchpad's banks, or of the accumulators."""
        if not self.ultra_ram:
            return {}
        return {"ram_style": "ultra" if scratchpad else "block"}


#: By name; None is the portable form.
TARGETS: dict[str, Packing | None] = {
    "portable": None,
    "xc7": Packing("DSP48E1", operand_bits=25, shift=17, cascade=4),
    "xcup": Packing("DSP48E2", operand_bits=27, shift=18, cascade=8),
    "xcup-uram": Packing("DSP48E2", operand_bits=27, shift=18, cascade=8, ultra_ram=True),
}


def check_target(name: str) -> Packing | None:
    """Packing of target `name`, None for portable cells.

    Raises
    ------
    ValueError
        There is none of that name; the sentence lists those that exist.
    """
    if name not in TARGETS:
        raise ValueError(f"unknown target {name!r}; the targets are {', '.join(TARGETS)}")
    return TARGETS[name]
