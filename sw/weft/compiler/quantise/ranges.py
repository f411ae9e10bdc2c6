"""Scales that the ranges of tensors ask for."""

from __future__ import annotations

import numpy as np

from weft.compiler.graph.scale import Float, Scale, nearest
from weft.errors import UsageError

__all__ = ["MIN_SCALE", "affine_range", "step"]

#: Smallest scale, the least normal float32: below it there is nothing but zeros to stand for.
MIN_SCALE = 2.0**-126


def step(peak: float, steps: int) -> float:
    """Scale by which `steps` integers reach `peak`, >= 0; 1 where everything is zero."""
    return max(peak / steps, MIN_SCALE) if peak else 1.0


def affine_range(x: Float, bits: int = 8, symmetric: bool = False) -> Scale:
    """Scale for all of `x`, zero included, in integers of `bits` bits.

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
        return Scale(step(float(np.max(np.abs(x))), top), 0, -top, top)
    low, high = min(0.0, float(np.min(x))), max(0.0, float(np.max(x)))
    scale = step(high - low, 2 * top + 1)
    zero_point = int(np.clip(nearest(-top - 1 - low / scale), -top - 1, top))
    return Scale(scale, zero_point, -top - 1, top)
