"""How integers stand for reals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Float", "Scale", "nearest"]

Float = NDArray[np.floating[Any]]


def nearest(x: float | Float) -> NDArray[np.float64]:
    """Whole numbers next to `x`, halves upwards, as the accelerator rounds; the shape of `x`."""
    return np.floor(np.asarray(x, np.float64) + 0.5)


@dataclass(frozen=True)
class Scale:
    """Affine: ``real = step * (q - zero_point)``, q in low..high; int8 unless these say more."""

    step: float
    zero_point: int
    low: int = -128
    high: int = 127

    def quantise(self, x: float | Float) -> NDArray[np.int64]:
        """Nearest integers, clamped to low..high; the shape of `x`."""
        q = nearest(np.asarray(x, np.float64) / self.step) + self.zero_point
        return np.asarray(np.clip(q, self.low, self.high), np.int64)

    def clipped(self, x: Float) -> int:
        """How many values of `x` no integer is next to."""
        low, high = self.step * (np.array([self.low, self.high]) - self.zero_point)
        half = self.step / 2
        return int(np.count_nonzero((x < low - half) | (x > high + half)))

    def real(self, q: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Reals of the integers `q`, same shape."""
        return np.asarray(self.step * (q.astype(np.float64) - self.zero_point), np.float64)

    def __str__(self) -> str:
        return f"{self.step:.4g} * (q - {self.zero_point})"
