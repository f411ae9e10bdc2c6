"""Regions of addresses, and the nests that make them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from weft.verify.regions import Region, overlap

regions = st.builds(
    Region.of,
    st.integers(0, 40),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 4)), max_size=3),
)


def members(region: Region) -> set[int]:
    found = {region.start + i for i in range(region.size)}
    for stride, count in region.levels:
        found = {x + stride * i for x in found for i in range(count)}
    return found


@given(regions, regions)
def test_overlap_is_exact(a, b):
    shared = members(a) & members(b)
    got = overlap(a, b)
    assert (got is not None) == bool(shared)
    if got:
        assert set(range(*got)) <= shared
    starts, ends = a.intervals()
    assert {x for s, e in zip(starts, ends) for x in range(s, e)} == members(a)
    assert (starts[1:] > ends[:-1]).all()
    assert a.end == max(members(a)) + 1


@given(st.integers(0, 20), st.integers(1, 4),
       st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 4)), max_size=3))  # fmt: skip
def test_normal_form_keeps_members(start, size, levels):
    want = {start + i for i in range(size)}
    for stride, count in levels:
        want = {x + stride * i for x in want for i in range(count)}
    assert members(Region.of(start, size, levels)) == want


def test_strides_of_a_nest():
    from weft.program.nest import Affine, strides

    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.integers(1, 4, 6).tolist()
        jumps = rng.integers(-9, 9, 6).tolist()
        at, want = 5, []
        for index in np.ndindex(*sizes[::-1]):
            index = index[::-1]
            if want:
                at += jumps[next(i for i in range(6) if index[i])]
            want.append(at)
        affine = Affine(5, tuple(sizes), strides(sizes, jumps))
        assert affine.values().tolist() == want
        assert affine.bounds() == (min(want), max(want))
