"""Tensors of any rank: rules, extents, and elements in a buffer."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.program import TensorSpec

SIZES = {"int8": 1, "int16": 2, "int32": 4}


@st.composite
def specs(draw: st.DrawFn) -> TensorSpec:
    """Tensors of up to rank 4, of a few hundred bytes."""
    dtype = draw(st.sampled_from(sorted(SIZES)))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    extent, pitches = shape[-1] * SIZES[dtype], []
    for level, count in enumerate(reversed(shape[:-1])):
        if level == 0 and extent <= 4 and draw(st.booleans()):
            pitch = 4
        else:
            pitch = 16 * (-(-extent // 16) + draw(st.integers(0, 2)))
        pitches.insert(0, pitch)
        extent += (count - 1) * pitch
    return TensorSpec("t", dtype, shape, 16 * draw(st.integers(0, 3)), tuple(pitches))


def addresses(spec: TensorSpec) -> list[int]:
    """First byte of every element, by the definition of pitches."""
    found = []
    for index in itertools.product(*(range(n) for n in spec.shape)):
        outer = sum(i * p for i, p in zip(index, spec.pitches))
        found.append(spec.offset + outer + index[-1] * SIZES[spec.dtype])
    return found


@given(specs(), st.integers(0, 2**32 - 1))
def test_elements_stand_where_the_pitches_say(spec, seed):
    rng = np.random.default_rng(seed)
    info = np.iinfo(spec.dtype)
    array = rng.integers(info.min, info.max, spec.shape, spec.dtype, endpoint=True)
    buffer = np.full(spec.end + 32, 0xAA, np.uint8)
    spec.write(buffer, array)
    size, owned = SIZES[spec.dtype], np.zeros(len(buffer), bool)
    for at, value in zip(addresses(spec), array.reshape(-1)):
        assert buffer[at : at + size].tobytes() == value.tobytes()
        owned[at : at + size] = True
    assert spec.bytes == np.count_nonzero(owned) == array.nbytes, "no element overlaps another"
    assert (spec.read(buffer) == array).all() and spec.read(buffer).dtype == array.dtype
    # Granules that hold an element are zero elsewhere; others are left alone.
    touched = np.repeat(owned[: len(buffer) // 16 * 16].reshape(-1, 16).any(axis=1), 16)
    for at in np.flatnonzero(~owned[: len(touched)]):
        assert buffer[at] == (0 if touched[at] else 0xAA)
    assert np.flatnonzero(touched)[-1] + 1 == spec.end


@given(specs())
def test_runs_cover_the_elements(spec):
    covered = np.zeros(spec.end, bool)
    for steps in itertools.product(*(range(count) for _, count in spec.run_levels)):
        at = spec.offset + sum(i * p for i, (p, _) in zip(steps, spec.run_levels))
        assert at % 16 == 0 and not covered[at : at + spec.run_bytes].any()
        covered[at : at + spec.run_bytes] = True
    assert all(covered[at] for at in addresses(spec)) and covered[-1]


def test_an_image_of_three_channels():
    """NHWC: pixels 4 bytes apart, lines multiples of 16."""
    image = TensorSpec("x", "int8", (2, 5, 7, 3), 0, (160, 32, 4))
    assert (image.run_bytes, image.run_levels, image.end) == (32, ((160, 2), (32, 5)), 320)
    assert image.bytes == 210


def test_a_single_index_may_have_any_pitch():
    spec = TensorSpec("t", "int16", (1, 1, 4), 0, ((1 << 32) - 16, (1 << 31)))
    buffer = np.zeros(16, np.uint8)
    spec.write(buffer, np.array([[[1, 2, 3, 4]]], np.int16))
    assert list(buffer[:8]) == [1, 0, 2, 0, 3, 0, 4, 0]


def test_absurd_shapes_cost_nothing():
    spec = TensorSpec("t", "int8", (1 << 31, 1 << 31), 0, (1 << 31,))
    assert spec.bytes == 1 << 62
    with pytest.raises(UsageError, match=r"the arena must be uint8 \[>= 4611686018427387904\]"):
        spec.read(np.zeros(64, np.uint8))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dtype": "float32"}, "dtype must be one of int8, int16, int32, not 'float32'"),
        ({"shape": ()}, "shape must be 1 to 8 positive ints, not ()"),
        ({"shape": (0, 1)}, "shape must be 1 to 8 positive ints, not (0, 1)"),
        ({"shape": [2, 4]}, "shape must be 1 to 8 positive ints, not [2, 4]"),
        ({"shape": (4,)}, "pitches must be 0 ints below 2**32, not (16,)"),
        ({"offset": 8}, "offset must be a multiple of 16, not 8"),
        ({"pitches": (1 << 70,)}, f"pitches must be 1 ints below 2**32, not ({1 << 70},)"),
        ({"pitches": (0,)}, "pitch 0 must be at least the 4 bytes that it steps over, not 0"),
        ({"shape": (2, 2, 4), "pitches": (16, 16)},
         "pitch 0 must be at least the 20 bytes that it steps over, not 16"),
        ({"pitches": (8,)}, "a pitch must be a multiple of 16, or 4 between pixels of at most 4 "
                            "bytes, not 8"),
        ({"shape": (2, 5), "pitches": (4,)}, "a pitch must be a multiple of 16, or 4 between "
                                             "pixels of at most 4 bytes, not 4"),
        ({"shape": (2, 2, 4), "pitches": (4, 4)}, "a pitch must be a multiple of 16, or 4 between "
                                                  "pixels of at most 4 bytes, not 4"),
    ],
)  # fmt: skip
def test_bad_specs(change, sentence):
    base = TensorSpec("t", "int8", (2, 4), 0, (16,))
    with pytest.raises(UsageError) as error:
        dataclasses.replace(base, **change)
    assert str(error.value) == f"tensor 't': {sentence}"
