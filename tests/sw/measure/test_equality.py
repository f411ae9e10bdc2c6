import numpy as np
import pytest

from weft.errors import Mismatch
from weft.measure.equality import describe_difference, require_exact
from weft_hw.config import PRESETS

CONFIG = PRESETS["tiny"]


def test_equal_is_none():
    x = np.arange(12).reshape(3, 4)
    require_exact(None)
    assert describe_difference(x, x, layer="q", config=CONFIG, got_name="rtl") is None


def test_names_layer_tile_and_first_element():
    want = np.zeros((3, 20), np.int8)
    got = want.copy()
    got[1, 17] = 5
    got[2, 0] = -1
    with pytest.raises(Mismatch) as caught:
        require_exact(
            describe_difference(got, want, layer="query", config=CONFIG, got_name="rtl")
        )
    assert caught.value.message == (
        "layer 'query', tile 2 (columns 16..19): element [1, 17] is 5 on rtl and 0 on torch-int; "
        "2 of 60 elements differ"
    )


def test_shapes():
    sentence = describe_difference(
        np.zeros((2, 3)), np.zeros((2, 4)), layer="q", config=CONFIG, got_name="emulator"
    )
    assert sentence == "layer 'q': emulator gives shape [2, 3], torch-int gives [2, 4]"
