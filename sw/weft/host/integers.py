"""Between the reals of a model and the int8 maps of the accelerator.

Reals have the shapes of torch, [1, C, H, W], [1, T, K] or [1, K]; maps are [H, W, C], in which rows
are pixels of a line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .operators import Array

__all__ = ["dequantise", "quantise"]


def _as_map(x: Array) -> Array:
    if x.ndim == 4:
        return np.ascontiguousarray(x[0].transpose(1, 2, 0))
    return x.reshape(1, -1, x.shape[-1])


def quantise(x: Array, step: float, zero_point: int, low: int, high: int) -> Array:
    """int8 map of reals: to nearest, halves up, clamped to low..high. NaN becomes the zero point.

    Parameters
    ----------
    x : float32, batch of one
    """
    # In float32, as everything that the host computes.
    q = np.floor(_as_map(x) * np.float32(1 / step) + np.float32(0.5)) + np.float32(zero_point)
    q = np.nan_to_num(q, nan=zero_point, posinf=high, neginf=low)
    return np.asarray(np.clip(q, low, high).astype(np.int8))


def dequantise(q: Array, step: float, zero_point: int, shape: Sequence[int]) -> Array:
    """float32 of `shape`, batch of one, of an int8 map."""
    x = (q.astype(np.float32) - np.float32(zero_point)) * np.float32(step)
    if len(shape) == 4:
        x = x.transpose(2, 0, 1)
    return np.ascontiguousarray(x.reshape(shape))
