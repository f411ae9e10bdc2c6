"""The compute unit against the naive model: results, tile period, latency."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from weft_hw.compute.unit import ComputeUnit
from weft_hw.config import PRESETS
from weft_hw.isa import Instruction, Opcode, ResultType

sys.path.insert(0, str(Path(__file__).parent))
from bench import Machine, naive, run  # noqa: E402


def jumps(strides, counts):
    return [s - sum((counts[j] - 1) * strides[j] for j in range(i)) for i, s in enumerate(strides)]


def gemm(cfg, m, kt, nt, kind=ResultType.INT8, table=0, order="nk"):
    """SETUP and MATMUL of an [m, kt*R] x [kt*R, nt*C] product; activations in the first half."""
    line = cfg.line_bytes // 4
    row = nt * cfg.cols * kind.bytes // 4
    counts = [m, kt, nt, 1, 1, 1] if order == "nk" else [m, nt, kt, 1, 1, 1]
    k, n = (1, 2) if order == "nk" else (2, 1)

    def vec(m_=0, k_=0, n_=0):
        v = [0] * 6
        v[0], v[k], v[n] = m_, k_, n_
        return jumps(v, counts)

    h = cfg.tile_words
    fields = {"tile_levels": 1, "reduction": 1 << k, "first": 1, "last": 1,
              "result_address": cfg.scratchpad_words // 2}
    fields |= {f"count{i}": c for i, c in enumerate(counts)}
    for name, v in (("act_jump", vec(m_=kt * line, k_=line)),
                    ("acc_jump", vec(m_=1, n_=0 if order == "nk" else m)),
                    ("weight_jump", vec(k_=h * nt, n_=h))):
        fields |= {f"{name}{i}": x for i, x in enumerate(v) if not (name[0] == "w" and i == 0)}
    low, high = (-128, 127) if kind is ResultType.INT8 else (-(2**15), 2**15 - 1)
    setup = {"result_type": int(kind), "pre": 1, "zero_point": 3, "low": low, "high": high}
    if table:
        setup |= {"table_enable": 1, "table": table - 1}
    setup |= {f"result_jump{i}": x for i, x in enumerate(
        vec(m_=row, n_=cfg.cols * kind.bytes // 4))}
    setup |= {f"parameter_jump{i}": x for i, x in enumerate(vec(n_=cfg.cols // 2)) if i}
    return [Instruction(Opcode.SETUP, fields=setup), Instruction(Opcode.MATMUL, fields=fields)]


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
    assert retired[-1] - cycles[-1] == ComputeUnit(cfg).LATENCY
