"""Weight tiles and parameter entries, byte by byte."""

from __future__ import annotations

import numpy as np
import pytest

from gemm_reference import random_layer
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.lower.constants import pack_parameters, pack_weights
from weft_hw.config import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_byte_of_every_tile(name: str) -> None:
    config = preset(name)
    r, c, h = config.rows, config.cols, config.tile_words
    rng = np.random.default_rng(1)
    k, n = 2 * r + 3, c + 5
    weights = rng.integers(-127, 128, (k, n), dtype=np.int8)
    packed = pack_weights(config, weights)
    assert packed.shape == (2, 3, r * c)
    for nt, kt, at in np.ndindex(packed.shape):
        word, byte = divmod(at, config.weight_word_bytes)
        segment, column = divmod(byte, c)
        row, col = kt * r + segment * h + word, nt * c + column
        want = weights[row, col] if row < k and col < n else 0
        assert packed[nt, kt, at] == want


def test_parameter_entries() -> None:
    config = preset("pynq-z2")
    layer = random_layer(np.random.default_rng(2), GemmProblem(1, 4, 21))
    (node,) = layer.nodes
    bias, requant = layer.operands(node)[2].data, node.requant
    entries = pack_parameters(config, bias, requant)
    assert entries.shape == (32,)
    assert entries.dtype == np.dtype("<u8")
    for i in range(21):
        entry = int(entries[i])
        assert entry & 0xFFFF_FFFF == int(bias[i]) & 0xFFFF_FFFF
        assert entry >> 32 & 0x1_FFFF == requant.multiplier[i]
        assert entry >> 49 == requant.shift[i]
    assert not entries[21:].any()
