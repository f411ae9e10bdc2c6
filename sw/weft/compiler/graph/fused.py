"""Neighbours that run at once, what lies between them on chip, as one problem."""

from __future__ import annotations

from dataclasses import dataclass

from weft.dram import MemoryModel, roofline_cycles
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import TAPS

from .matmul import GemmProblem
from .windowed import WindowProblem

__all__ = ["Fused"]


@dataclass(frozen=True)
class Fused:
    """`window` on the depthwise engine, and `product` of its results on the array.

    With `expand`, the array also makes the map that the window slides over, by that product: the
    inverted residual of MobileNetV2 (Sandler et al., 2018, section 3.3).
    """

    window: WindowProblem
    product: GemmProblem
    expand: GemmProblem | None = None

    @property
    def parts(self) -> tuple[GemmProblem | WindowProblem, ...]:
        """The problems, in their order."""
        behind = (self.window, self.product)
        return behind if self.expand is None else (self.expand, *behind)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates of all."""
        return sum(part.macs for part in self.parts)

    @property
    def bytes_read(self) -> int:
        """Bytes of what comes in, all weights and the residual, each once."""
        window, product, expand = self.window, self.product, self.expand
        found = sum(part.bytes_read for part in self.parts) - product.m * product.k
        return found - (window.height * window.width * window.channels if expand else 0)

    @property
    def bytes_written(self) -> int:
        """Bytes of the product, once."""
        return self.product.bytes_written

    def roofline(self, config: AcceleratorConfig, memory: MemoryModel) -> float:
        """Cycles that no schedule can beat: of the array, the engine, or the bytes."""
        moved = self.bytes_read, self.bytes_written
        engine = self.window.macs / (TAPS * config.rows)
        array = self.macs - self.window.macs
        return max(roofline_cycles(config, memory, array, *moved), engine)
