"""The class that pynq binds to the accelerator of an overlay.

This module is a ``pynq.lib`` entry point: every ``Overlay()`` imports it.
"""

from __future__ import annotations

from pynq import DefaultIP

from weft_hw.ip import MODULE_VLNV, PACKAGED_VLNV
from weft_hw.registers import REGISTERS

__all__ = ["WeftAccelerator"]


class WeftAccelerator(DefaultIP):  # type: ignore[misc]
    """Registers of a Weft accelerator by name.

    :class:`weft.backend.pynq.backend.PynqBackend` runs it.
    """

    bindto = [MODULE_VLNV, PACKAGED_VLNV]

    def __init__(self, description: dict[str, object]) -> None:
        super().__init__(description)

    def get(self, name: str) -> int:
        """Value of the register `name`, 0..2**32-1."""
        # Older remote clients return signed words.
        return int(self.mmio.read(REGISTERS[name].offset)) & 0xFFFF_FFFF

    def set(self, name: str, value: int) -> None:
        """Write the register `name`."""
        self.mmio.write(REGISTERS[name].offset, int(value))
