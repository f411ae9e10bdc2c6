"""Convolutions on the RTL: reads from any word on are right, and as fast as reads of lines."""

from __future__ import annotations

import numpy as np
import pytest

from convolution import Convolution
from weft.backend.rtl.backend import RtlBackend
from weft.backend.rtl.library import Stalls
from weft.verify import verify
from weft_hw.config import preset

pytestmark = pytest.mark.sim

CASES = {
    "tiny": (
        Convolution(7, 9, 3, 8, 3), Convolution(8, 8, 1, 5, 3, stride=2),
        Convolution(9, 9, 4, 11, 5, stride=2), Convolution(7, 7, 16, 8, 3),
    ),
    "tiny-wide": (Convolution(9, 9, 3, 12, 3, dilation=2), Convolution(6, 7, 16, 16, 2)),
    "pynq-z2": (
        Convolution(23, 29, 3, 24, 7, stride=2), Convolution(9, 9, 32, 16, 3, dilation=3),
        Convolution(12, 13, 32, 32, 3),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def backend(request):
    with RtlBackend(preset(request.param), watchdog_cycles=3000, timeout_cycles=2_000_000) as rtl:
        yield rtl


@pytest.mark.parametrize("stall", [0.0, 0.4], ids=["full-rate", "stalls"])
def test_convolution(backend, stall, seed):
    config = backend.config
    rng = np.random.default_rng(seed)
    for number, conv in enumerate(CASES[config.name]):
        shape = (conv.kernel, conv.kernel, conv.channels, conv.outputs)
        w = rng.integers(-127, 128, shape, np.int8)
        bias = rng.integers(-1000, 1000, conv.outputs).astype(np.int32)
        x = rng.integers(-128, 128, (conv.height, conv.width, conv.channels), np.int8)
        program = conv.program(config, w, bias)
        verify(program)
        backend.load(program)
        backend.simulation.set_stalls(Stalls.all(seed + number, stall))
        np.testing.assert_array_equal(backend.run({"x": x})["y"], conv.sums(x, w, bias))
        found = backend.counters()
        # A row a cycle, whatever word it begins at: nothing waits but results of int32, which leave
        # at their own pace, and tiles of fewer rows than a tile of weights has words.
        m, n_tiles = int(np.prod(conv.out)), -(-conv.outputs // config.cols)
        tiles = conv.kernel * conv.runs(config) * n_tiles
        assert found["array_rows"] == m * tiles
        pace = m * n_tiles * (config.row_cycles(4) - 1)
        short = tiles * max(0, config.tile_words - m)
        assert found["compute_wait_weights"] <= pace + short + config.tile_words + 16
        backend.unload()
