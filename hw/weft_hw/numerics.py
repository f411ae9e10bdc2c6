"""The integer definition of every arithmetic step of the accelerator. numpy only.

Emulator and gateware tests call these functions. The independent references (``torch-int`` and the
models inside tests) take the constants of this file and never its functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .isa import RESIDUAL_SHIFT, WEIGHT_MAX, WEIGHT_MIN

__all__ = [
    "ACC_MAX",
    "ACC_MIN",
    "MULTIPLIER_AT",
    "MULTIPLIER_BITS",
    "MULTIPLIER_MAX",
    "PRE_MAX",
    "RESIDUAL_SHIFT",
    "SAT_BITS",
    "SHIFT_AT",
    "SHIFT_BITS",
    "SHIFT_MAX",
    "SHIFT_MIN",
    "TABLE_SIZE",
    "WEIGHT_MAX",
    "WEIGHT_MIN",
    "accumulate",
    "larger",
    "lookup",
    "multiplier_for",
    "requantise",
    "wrap32",
]

#: Accumulators are int32 and wrap.
ACC_MIN, ACC_MAX = -(2**31), 2**31 - 1
#: The accumulator enters the multiplier saturated to this many bits (a DSP48E1 port, UG479).
SAT_BITS = 25
#: Requantisation multipliers are unsigned.
MULTIPLIER_BITS = 17
MULTIPLIER_MAX = 2**MULTIPLIER_BITS - 1
#: Arithmetic right shift after the multiplication.
SHIFT_MIN, SHIFT_MAX = 1, 42
SHIFT_BITS = 6
#: First bits of multiplier and shift in an entry of the parameter memory, which starts with the
#: bias, int32.
MULTIPLIER_AT = 32
SHIFT_AT = MULTIPLIER_AT + MULTIPLIER_BITS
#: Arithmetic right shift before the saturation.
PRE_MAX = 7
#: Entries of an int8 -> int8 table; entry i belongs to the int8 value whose unsigned byte is i.
TABLE_SIZE = 256

Int = NDArray[np.int64]


def wrap32(x: NDArray[np.integer]) -> NDArray[np.int32]:
    """`x`, any integer array, modulo 2**32 as int32: what an accumulator keeps."""
    return (np.asarray(x, np.int64) & 0xFFFF_FFFF).astype(np.uint32).view(np.int32)


def accumulate(
    start: NDArray[np.int32], a: NDArray[np.int8], w: NDArray[np.int8]
) -> NDArray[np.int32]:
    """``start + a @ w``, wrapping at 32 bits.

    Parameters
    ----------
    start : int32 [M, N] or [N]
        Bias, or the accumulators of an earlier pass.
    a : int8 [M, K]
    w : int8 [K, N]

    Returns
    -------
    int32 [M, N]
    """
    # Products are below 2**14 and K below 2**24, so float64 sums are exact and use BLAS.
    product = (a.astype(np.float64) @ w.astype(np.float64)).astype(np.int64)
    return wrap32(product + np.asarray(start, np.int64))


def larger(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.int32]:
    """The larger of the low 8 bits of each, as signed numbers: what a maximum keeps.

    Parameters
    ----------
    a, b : int arrays, of which 8 bits count

    Returns
    -------
    int32, values in -128..127.
    """
    low = [(np.asarray(x, np.int64) & 0xFF).astype(np.uint8).view(np.int8) for x in (a, b)]
    return np.maximum(*low).astype(np.int32)


def requantise(
    acc: NDArray[np.int32],
    multiplier: NDArray[np.integer],
    shift: NDArray[np.integer],
    *,
    pre: int,
    zero_point: int,
    low: int,
    high: int,
    residual: NDArray[np.int8] | None = None,
    residual_zero_point: int = 0,
    residual_multiplier: int = 0,
) -> NDArray[np.int16]:
    """``clamp(zero_point + ((sat25(acc >> pre) * multiplier + 2**(shift-1)) >> shift), low,
    high)``.

    One rounding, half up. Shifts are arithmetic. With a residual, ``((residual -
    residual_zero_point) << RESIDUAL_SHIFT) * residual_multiplier`` is added before the rounding.

    Parameters
    ----------
    acc : int32 [..., N]
    multiplier : int [N], 0..MULTIPLIER_MAX
    shift : int [N], SHIFT_MIN..SHIFT_MAX; 0, in the padding of a parameter memory, does not round.
    pre : int, 0..PRE_MAX
    zero_point, low, high : int16 values; for int8 results they lie in -128..127. Where low > high,
        every result is high; the verifier refuses such a program.
    residual : int8 [..., N], or None
    residual_zero_point : int8 value
    residual_multiplier : int, 0..MULTIPLIER_MAX

    Returns
    -------
    int16 [..., N], values in low..high.
    """
    limit = 1 << (SAT_BITS - 1)
    a = np.clip(np.asarray(acc, np.int64) >> pre, -limit, limit - 1)
    s = np.asarray(shift, np.int64)
    half = (np.int64(1) << s) >> 1
    product = a * np.asarray(multiplier, np.int64)
    if residual is not None:
        difference = np.asarray(residual, np.int64) - residual_zero_point
        product = product + (difference << RESIDUAL_SHIFT) * residual_multiplier
    y = zero_point + ((product + half) >> s)
    clamped: Int = np.minimum(np.maximum(y, low), high)
    return clamped.astype(np.int16)


def lookup(table: NDArray[np.int8], x: NDArray[np.int8]) -> NDArray[np.int8]:
    """``table[x as unsigned byte]``; `table` is int8 [TABLE_SIZE]."""
    return np.asarray(table, np.int8)[np.asarray(x, np.int8).view(np.uint8)]


def multiplier_for(scale: NDArray[np.float64], pre: int = 0) -> tuple[Int, Int]:
    """Multiplier and shift nearest to a real `scale`, so that ``scale ~ multiplier /
    2**(shift+pre)``.

    Parameters
    ----------
    scale : float64 [N], finite, >= 0.
    pre : int, 0..PRE_MAX

    Returns
    -------
    (int64 [N] in 0..MULTIPLIER_MAX, int64 [N] in SHIFT_MIN..SHIFT_MAX)

    Raises
    ------
    ValueError
        A scale is negative, not finite, or too large to represent.
    """
    real = np.asarray(scale, np.float64) * 2.0**pre
    if not np.all(np.isfinite(real)) or np.any(real < 0):
        raise ValueError(f"scale must be finite and not negative, not {scale!r}")
    _, exponent = np.frexp(real)
    s = np.clip(MULTIPLIER_BITS - exponent.astype(np.int64), SHIFT_MIN, SHIFT_MAX)
    # ldexp takes exponents of C's int or long, and long has 32 bits on 32-bit processors.
    m = np.floor(np.ldexp(real, s.astype(np.int32)) + 0.5).astype(np.int64)
    over = (m > MULTIPLIER_MAX) & (s > SHIFT_MIN)  # rounding carried into the next power of two
    s = s - over
    m = np.where(over, np.floor(np.ldexp(real, s.astype(np.int32)) + 0.5).astype(np.int64), m)
    if np.any(m > MULTIPLIER_MAX):
        raise ValueError(f"scale must be at most {MULTIPLIER_MAX / 2}, not {np.max(scale)}")
    return m, s
