"""Bias, multiplier and shift in the entries of a memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weft_hw import numerics

__all__ = ["split_parameters"]

Int = NDArray[np.int64]


def split_parameters(raw: NDArray[np.uint64]) -> tuple[Int, Int, Int]:
    """(bias, multiplier, shift), int64 of the shape of `raw`, entries of 8 bytes."""
    bias = numerics.wrap32((raw & np.uint64(0xFFFF_FFFF)).astype(np.int64)).astype(np.int64)
    most = np.uint64(numerics.MULTIPLIER_MAX)
    multiplier = (raw >> np.uint64(numerics.MULTIPLIER_AT) & most).astype(np.int64)
    most = np.uint64((1 << numerics.SHIFT_BITS) - 1)
    shift = (raw >> np.uint64(numerics.SHIFT_AT) & most).astype(np.int64)
    return bias, multiplier, shift
