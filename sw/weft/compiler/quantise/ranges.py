"""How integers stand for reals: affine ranges of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

__all__ = ["MIN_SCALE", "AffineRange", "Float", "affine_range", "step"]

Float = NDArray[np.floating[Any]]

#: Smallest scale, the least normal float32: below it there is nothing but zeros to stand for.
MIN_SCALE = 2.0**-126


def step(peak: float, steps: int) -> float:
    """Scale by which `steps` integers reach `peak`, >= 0; 1 where everything is zero."""
    return max(peak / steps, MIN_SCALE) if peak else 1.0


@dataclass(frozen=True)
class AffineRange:
    """How integers of one tensor stand for reals: ``real = scale * (q - zero_point)``."""

    scale: float
    zero_point: int
    low: int
    high: int

    def quantise(self, x: Float) -> NDArray[np.int64]:
        """Nearest integers, clamped to low..high; the shape of `x`."""
        q = np.floor(np.asarray(x, np.float64) / self.scale + 0.5) + self.zero_point
        return np.asarray(np.clip(q, self.low, self.high), np.int64)

    def clipped(self, x: Float) -> int:
        """How many values of `x` no integer of the range is next to."""
        low, high = self.scale * (np.array([self.low, self.high]) - self.zero_point)
        half = self.scale / 2
        return int(np.count_nonzero((x < low - half) | (x > high + half)))

    def real(self, q: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Reals of the integers `q`, same shape."""
        return self.scale * (q.astype(np.float64) - self.zero_point)


def affine_range(x: Float, bits: int = 8, symmetric: bool = False) -> AffineRange:
    """Range of all of `x`, zero included, in integers of `bits` bits.

    Parameters
    ----------
    x : float, any shape, finite and not empty
    bits : 8 or 16
    symmetric : bool
        Zero point 0, and the most negative integer is not used.

    Raises
    ------
    UsageError
        `x` is empty or holds a value that is not finite.
    """
    if x.size == 0 or not np.all(np.isfinite(x)):
        raise UsageError(f"a range needs finite values, not {x.size} values with NaN or infinity")
    top = 2 ** (bits - 1) - 1
    if symmetric:
        return AffineRange(step(float(np.max(np.abs(x))), top), 0, -top, top)
    low, high = min(0.0, float(np.min(x))), max(0.0, float(np.max(x)))
    scale = step(high - low, 2 * top + 1)
    zero_point = int(np.clip(np.floor(-top - 1 - low / scale + 0.5), -top - 1, top))
    return AffineRange(scale, zero_point, -top - 1, top)
