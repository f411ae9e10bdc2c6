"""Quantised layers follow the float layer within their steps, and refuse what cannot be held."""

from __future__ import annotations

import numpy as np
import pytest

from gemm_reference import reference
from quantised import quantise_linear
from weft.compiler.quantise.linear import signal_to_noise_db
from weft.compiler.quantise.ranges import AffineRange, affine_range
from weft.errors import Unsupported, UsageError
from weft_hw import numerics


def layer(seed=0, m=50, k=64, n=24, result="int8", bias=True):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(n, k)) * rng.uniform(0.01, 1, (n, 1))
    b = rng.normal(size=n) if bias else None
    x = rng.normal(size=(m, k)) + 0.7
    y = x @ w.T + (0 if b is None else b)
    return quantise_linear("l", w, b, x, y, result=result), x, y


def evaluate(q, x):
    codes = q.input.quantise(x).astype(np.int8)
    outputs, _ = reference(q.graph, {"a": codes})
    return q.output.real(outputs["out"])


@pytest.mark.parametrize(("result", "least_db"), [("int8", 33), ("int16", 36)])
@pytest.mark.parametrize("bias", [True, False])
def test_follows_the_float_layer(result, least_db, bias):
    q, x, y = layer(result=result, bias=bias)
    assert q.weights.dtype == np.int8 and q.weights.shape == (64, 24)
    assert np.abs(q.weights).max() <= numerics.WEIGHT_MAX
    assert signal_to_noise_db(y, evaluate(q, x)) > least_db


def test_zero_point_is_folded_exactly():
    q, x, _ = layer()
    codes = q.input.quantise(x)
    shifted = (codes - q.input.zero_point) @ q.weights.astype(np.int64)
    folded = codes @ q.weights.astype(np.int64) - q.input.zero_point * q.weights.sum(
        axis=0, dtype=np.int64
    )
    assert np.array_equal(shifted, folded)


def test_affine_range_by_hand():
    assert affine_range(np.array([0.0, 25.5])) == AffineRange(0.1, -128, -128, 127)
    assert affine_range(np.array([-25.5, -1.0])) == AffineRange(0.1, 127, -128, 127)
    assert affine_range(np.array([-1.0, 32767.0]), 16, symmetric=True) == AffineRange(
        1.0, 0, -32767, 32767
    )


def test_zero_is_exact():
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-7.0, -6.0)):
        r = affine_range(np.array([low, high]))
        assert r.real(r.quantise(np.zeros(1)))[0] == 0.0


def test_constant_tensors_and_dead_channels():
    x, w = np.zeros((4, 8)), np.zeros((3, 8))
    q = quantise_linear("dead", w, None, x, x @ w.T)
    assert np.all(evaluate(q, x) == 0)


def test_large_sums_are_shifted_before_the_saturation():
    """With results as wide as the accumulators' reach, pre keeps 25 bits from clipping."""
    k = 4096
    x = np.full((2, k), 1.0)
    x[1] = -1.0
    w = np.full((1, k), 1.0)
    q = quantise_linear("wide", w, None, x, x @ w.T, result="int16")
    assert q.node.requant.pre > 0
    assert signal_to_noise_db(x @ w.T, evaluate(q, x)) > 45


def test_refuses_with_the_layer_s_name():
    w, x = np.ones((2, 3)), np.ones((5, 3))
    with pytest.raises(UsageError, match=r"layer 'q': bias must be \[2\], not \[3\]"):
        quantise_linear("q", w, np.ones(3), x, x @ w.T)
    with pytest.raises(UsageError, match="layer 'q' has weights or a bias with NaN or infinity"):
        quantise_linear("q", w * np.nan, None, x, x @ x.T)
    with pytest.raises(UsageError, match="a range needs finite values"):
        quantise_linear("q", w, None, x * np.nan, x @ w.T)
    with pytest.raises(Unsupported, match="layer 'q': the bias of channel 1 is .* beyond int32"):
        quantise_linear("q", w * 1e-7, np.array([0, 1e9]), x, x @ w.T)


def test_signal_to_noise():
    assert signal_to_noise_db(np.array([10.0]), np.array([9.0])) == pytest.approx(20.0)
    assert signal_to_noise_db(np.ones(3), np.ones(3)) == float("inf")
