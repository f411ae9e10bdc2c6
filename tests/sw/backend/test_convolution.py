"""Convolutions whose reads begin at any word, as one MATMUL, against sums of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from convolution import Convolution
from weft.backend.emulator import EmulatorBackend
from weft.verify import verify
from weft_hw.config import preset

CASES = [
    ("tiny", Convolution(7, 9, 3, 8, 3)),
    ("tiny", Convolution(8, 8, 1, 5, 3, stride=2)),
    ("tiny", Convolution(9, 9, 4, 11, 5, stride=2)),
    ("tiny", Convolution(7, 7, 16, 8, 3)),
    ("tiny-wide", Convolution(9, 9, 3, 12, 3, dilation=2)),
    ("tiny-wide", Convolution(6, 7, 16, 16, 2)),
    ("pynq-z2", Convolution(23, 29, 3, 24, 7, stride=2)),
    ("pynq-z2", Convolution(9, 9, 32, 16, 3, dilation=3)),
]


@pytest.mark.parametrize(("name", "conv"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_emulator(name, conv):
    config = preset(name)
    rng = np.random.default_rng(5)
    x = rng.integers(-128, 128, (conv.height, conv.width, conv.channels), np.int8)
    w = rng.integers(-127, 128, (conv.kernel, conv.kernel, conv.channels, conv.outputs), np.int8)
    bias = rng.integers(-1000, 1000, conv.outputs).astype(np.int32)
    program = conv.program(config, w, bias)
    verify(program)
    with EmulatorBackend(config) as emulator:
        emulator.load(program)
        np.testing.assert_array_equal(emulator.run({"x": x})["y"], conv.sums(x, w, bias))
