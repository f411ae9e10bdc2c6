"""A window of each channel by itself, and the product of its results, as one problem."""

from __future__ import annotations

from dataclasses import dataclass

from weft.dram import MemoryModel, roofline_cycles
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import TAPS

from .matmul import GemmProblem
from .windowed import WindowProblem

__all__ = ["Pair"]


@dataclass(frozen=True)
class Pair:
    """`window` on the depthwise engine, `product` on the array; what lies between stays on chip."""

    window: WindowProblem
    product: GemmProblem

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates of both."""
        return self.window.macs + self.product.macs

    @property
    def bytes_read(self) -> int:
        """Bytes of the map, both weights and the residual, each once."""
        between = self.product.m * self.product.k
        return self.window.bytes_read + self.product.bytes_read - between

    @property
    def bytes_written(self) -> int:
        """Bytes of the product, once."""
        return self.product.bytes_written

    def roofline(self, config: AcceleratorConfig, memory: MemoryModel) -> float:
        """Cycles that no schedule can beat: of the array, the engine, or the bytes."""
        moved = self.bytes_read, self.bytes_written
        engine = self.window.macs / (TAPS * config.rows)
        return max(roofline_cycles(config, memory, self.product.macs, *moved), engine)
