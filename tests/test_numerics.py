"""``weft_hw.numerics`` against vectors worked by hand, in exact integer or rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft_hw import numerics

# acc, multiplier, shift, pre, zero_point, low, high, result. Worked on paper.
VECTORS = [
    (0, 1, 1, 0, 0, -128, 127, 0),
    (1, 1, 1, 0, 0, -128, 127, 1),  # 0.5 rounds up
    (-1, 1, 1, 0, 0, -128, 127, 0),  # -0.5 rounds up
    (-3, 1, 1, 0, 0, -128, 127, -1),  # -1.5 rounds up
    (3, 1, 1, 0, 0, -128, 127, 2),
    (5, 1, 2, 0, 0, -128, 127, 1),  # 1.25
    (-5, 1, 2, 0, 0, -128, 127, -1),  # -1.25
    (6, 1, 2, 0, 0, -128, 127, 2),  # 1.5
    (100, 65536, 17, 0, 10, -128, 127, 60),  # 50 + 10
    (100, 131071, 17, 0, 0, -128, 127, 100),  # 99.9992
    (1000, 65536, 17, 0, 0, -128, 127, 127),  # clamped
    (-1000, 65536, 17, 0, 0, -128, 127, -128),
    (1000, 65536, 17, 0, -128, 0, 127, 127),  # 372, clamped after the zero point
    (7, 2, 1, 1, 0, -128, 127, 3),  # 7 >> 1 is 3
    (-7, 2, 1, 1, 0, -128, 127, -4),  # -7 >> 1 is -4
    (-1, 2, 1, 7, 0, -128, 127, -1),  # arithmetic shift keeps the sign
    (2**31 - 1, 1, 10, 0, 0, -(2**15), 2**15 - 1, 16384),  # 2**24 - 1 over 2**10
    (-(2**31), 1, 10, 0, 0, -(2**15), 2**15 - 1, -16384),
    (2**31 - 1, 1, 10, 7, 0, -(2**15), 2**15 - 1, 16384),  # 2**24 - 1 after the shift too
    (2**31 - 1, 131071, 42, 0, 0, -(2**15), 2**15 - 1, 0),  # just below 0.5
    (2**24, 131071, 42, 0, 0, -128, 127, 0),
    (50, 0, 1, 0, -7, -128, 127, -7),  # a dead channel gives the zero point
    (5, 2, 1, 0, 0, 10, -10, -10),  # the upper bound wins
]


def exact(acc, m, s, pre, zp, low, high):
    """The definition, in rationals."""
    a = floor(Fraction(acc, 2**pre))
    a = max(-(2**24), min(2**24 - 1, a))
    return min(max(zp + floor(Fraction(a * m, 2**s) + Fraction(1, 2)), low), high)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_requantise_by_hand(vector):
    acc, m, s, pre, zp, low, high, want = vector
    got = numerics.requantise(
        np.array([acc], np.int32),
        np.array([m]),
        np.array([s]),
        pre=pre,
        zero_point=zp,
        low=low,
        high=high,
    )
    assert got.dtype == np.int16
    assert got.tolist() == [want] == [exact(acc, m, s, pre, zp, low, high)]


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, numerics.MULTIPLIER_MAX),
    st.integers(numerics.SHIFT_MIN, numerics.SHIFT_MAX),
    st.integers(0, numerics.PRE_MAX),
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**15), 2**15 - 1),
)
def test_requantise_equals_the_definition(acc, m, s, pre, zp, low, high):
    """Bounds that cross, too: the upper one wins."""
    got = numerics.requantise(
        np.array([acc], np.int32),
        np.array([m]),
        np.array([s]),
        pre=pre,
        zero_point=zp,
        low=low,
        high=high,
    )
    assert int(got[0]) == exact(acc, m, s, pre, zp, low, high)


def test_accumulate_by_hand():
    a = np.array([[1, -2, 3], [-128, 127, 0]], np.int8)
    w = np.array([[4, -127], [5, 127], [6, 1]], np.int8)
    bias = np.array([10, -10], np.int32)
    want = [[4 - 10 + 18 + 10, -127 - 254 + 3 - 10], [-512 + 635 + 10, 16256 + 16129 - 10]]
    assert numerics.accumulate(bias, a, w).tolist() == want


def test_accumulators_wrap():
    top = np.array([numerics.ACC_MAX], np.int32)
    one = np.array([[1]], np.int8)
    assert numerics.accumulate(top, one, one).tolist() == [[numerics.ACC_MIN]]
    assert numerics.wrap32(np.array([2**31, -(2**31) - 1, 2**32 + 5])).tolist() == [
        -(2**31),
        2**31 - 1,
        5,
    ]


def test_lookup_uses_the_unsigned_byte():
    table = np.arange(256).astype(np.uint8).view(np.int8)[::-1].copy()
    x = np.array([0, 1, 127, -128, -1], np.int8)
    assert numerics.lookup(table, x).tolist() == [-1, -2, -128, 127, 0]


@pytest.mark.parametrize(
    ("scale", "pre", "multiplier", "shift"),
    [
        (0.5, 0, 65536, 17),  # 2**16 / 2**17
        (0.75, 0, 98304, 17),
        (1.0, 0, 65536, 16),
        (2.0**-20, 0, 65536, 36),
        (0.5, 1, 65536, 16),
        (0.0, 0, 0, 17),
        (65535.5, 0, 131071, 1),
        (2.0**-60, 0, 0, 42),  # too small to represent: zero
    ],
)
def test_multiplier_for_by_hand(scale, pre, multiplier, shift):
    m, s = numerics.multiplier_for(np.array([scale]), pre)
    assert (int(m[0]), int(s[0])) == (multiplier, shift)


@given(st.floats(2.0**-20, 60000.0))
def test_multiplier_is_the_nearest(scale):
    m, s = numerics.multiplier_for(np.array([scale]))
    assert abs(Fraction(int(m[0]), 2 ** int(s[0])) / Fraction(scale) - 1) <= Fraction(1, 2**17)


@pytest.mark.parametrize("scale", [-1.0, float("nan"), float("inf"), 65536.0])
def test_multiplier_refuses(scale):
    with pytest.raises(ValueError, match="scale must be"):
        numerics.multiplier_for(np.array([scale]))
