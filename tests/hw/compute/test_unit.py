"""The compute unit against the naive model: results, tile period, latency."""

from __future__ import annotations

import numpy as np
import pytest

from compute_bench import Machine, gemm, naive, run
from weft_hw.compute.unit import ComputeUnit
from weft_hw.config import PRESETS
from weft_hw.isa import ResultType


@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
@pytest.mark.parametrize("kind", list(ResultType))
@pytest.mark.parametrize("order", ["nk", "kn"])
def test_gemm(preset, kind, order):
    cfg = PRESETS[preset]
    machine = Machine(cfg, np.random.default_rng(1))
    program = []
    for m, kt, nt in ((5, 3, 2), (1, 2, 2), (9, 1, 2)):
        program += gemm(cfg, m, kt, nt, kind, order=order)
    image, _, _ = run(machine, program, gap=3)
    np.testing.assert_array_equal(image, naive(machine, program))


def test_table():
    cfg = PRESETS["tiny"]
    machine = Machine(cfg, np.random.default_rng(2))
    program = gemm(cfg, 7, 2, 3, table=2)
    image, _, _ = run(machine, program)
    np.testing.assert_array_equal(image, naive(machine, program))


@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
def test_tile_period(preset):
    """Another matrix in every tile, back to back: the period is exactly max(M, R/L)."""
    cfg = PRESETS[preset]
    h, r = cfg.tile_words, cfg.rows
    machine = Machine(cfg, np.random.default_rng(3))
    for m in sorted({1, 2, h - 1, h, h + 1, r, r + 1}):
        program = gemm(cfg, m, 12, 2)
        image, rows, _ = run(machine, program)
        np.testing.assert_array_equal(image, naive(machine, program))
        starts = [row["cycle"] for row in rows[::m]]
        assert len(starts) == 24
        # Tiles 11 and 12, the last of one column block and the first of the next, both take
        # parameters, a pair of columns a cycle.
        periods = [max(m, h)] * 23
        periods[11] = max(m, h, cfg.cols // 2)
        assert list(np.diff(starts)) == periods, m
        assert rows[m - 1]["cycle"] - rows[0]["cycle"] == m - 1


def test_no_bubble_between_instructions():
    """Rows of consecutive MATMULs follow each other as tiles of one do."""
    cfg = PRESETS["tiny"]
    machine = Machine(cfg, np.random.default_rng(4))
    setup, matmul = gemm(cfg, 16, 2, 1)
    program = [setup, matmul, matmul, matmul]
    _, rows, retired = run(machine, program)
    cycles = [row["cycle"] for row in rows]
    assert set(np.diff(cycles)) == {1}
    assert retired[-1] - cycles[-1] == ComputeUnit(cfg).RETIRE_LATENCY
