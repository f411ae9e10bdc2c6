"""Quantised layers follow the float layer within their steps, and refuse what cannot be held."""

from __future__ import annotations

import numpy as np
import pytest

from gemm_reference import reference
from quantised import quantise_linear
from weft.compiler.graph.scale import Scale
from weft.compiler.quantise.linear import signal_to_noise_db
from weft.compiler.quantise.ranges import affine_range
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
    return q.real(outputs["out"], None)


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
    assert affine_range(np.array([0.0, 25.5])) == Scale(0.1, -128, -128, 127)
    assert affine_range(np.array([-25.5, -1.0])) == Scale(0.1, 127, -128, 127)
    assert affine_range(np.array([-1.0, 32767.0]), 16, symmetric=True) == Scale(
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
    k = 80_000
    with pytest.raises(Unsupported, match="'q': sums of channel 1 can reach .*keep_float"):
        quantise_linear("q", np.ones((2, k)) * [[0], [1]], None, np.ones((1, k)), np.ones((1, 2)))


@pytest.mark.parametrize("result", ["int8", "int16", "int32"])
@pytest.mark.parametrize("size", [1e-30, 1e-9, 1e-6, 1.0, 1e6, 1e30])
def test_accuracy_does_not_depend_on_the_size_of_numbers(size, result):
    rng = np.random.default_rng(1)
    for x_size, w_size in ((size, 1.0), (1.0, size), (size, 1 / size)):
        x, w = rng.normal(size=(40, 24)) * x_size, rng.normal(size=(6, 24)) * w_size
        bias = rng.normal(size=6) * x_size * w_size
        q = quantise_linear("q", w, bias, x, x @ w.T + bias, result=result)
        assert signal_to_noise_db(x @ w.T + bias, evaluate(q, x)) > 35


@pytest.mark.parametrize("result", ["int8", "int16", "int32"])
@pytest.mark.parametrize("dead", [0.0, 1e-40, 1e-12])
def test_a_dead_channel_with_a_bias_spoils_no_other(dead, result):
    """Its bias comes out, and the live channels are as exact as without it."""
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(40, 24)), rng.normal(size=(6, 24))
    bias = rng.normal(size=6) * 10
    w[2] *= dead
    w[3], bias[3] = 0.0, 0.0
    want = x @ w.T + bias
    got = evaluate(quantise_linear("q", w, bias, x, want, result=result), x)
    assert np.max(np.abs(got[:, 2] - bias[2])) < (0.3 if result == "int8" else 0.01)
    assert not got[:, 3].any()
    live = [0, 1, 4, 5]
    alone = quantise_linear("q", w[live], bias[live], x, want, result=result)
    assert np.max(np.abs(evaluate(alone, x) - got[:, live])) < 1e-3


def test_a_bias_far_above_its_products_is_held():
    x, w = np.linspace(-1, 1, 30)[:, None], np.array([[1e-7], [1.0]])
    bias = np.array([1e9, 0.5])
    want = x @ w.T + bias
    got = evaluate(quantise_linear("q", w, bias, x, want, result="int32"), x)
    assert np.allclose(got[:, 0], 1e9, rtol=1e-6) and np.allclose(got[:, 1], want[:, 1], atol=0.01)


def test_a_constant_input_and_output_of_zero():
    x, w = np.zeros((4, 5)), np.ones((3, 5))
    for result in ("int8", "int16", "int32"):
        assert not evaluate(quantise_linear("q", w, None, x, x @ w.T, result=result), x).any()


def sums(q, bias, low, high):
    """Least and greatest sum of each channel, one input value after the other."""
    least, most = bias.astype(object), bias.astype(object)
    for row in q.astype(object):
        least = least + [min(w * low, w * high) for w in row]
        most = most + [max(w * low, w * high) for w in row]
    return least, most


@pytest.mark.parametrize("k", [66_000, 66_500, 80_000])
def test_sums_of_an_accepted_layer_fit_int32(k):
    """One-sided inputs and equal weights: the greatest sums that there are."""
    w, x = np.ones((1, k)), np.ones((1, k))
    try:
        layer = quantise_linear("q", w, None, x, x @ w.T, result="int32")
    except Unsupported:
        assert 127 * 255 * k > 2**31 - 1
        return
    _, weights, bias = (t.data for t in layer.graph.operands(layer.node))
    least, most = sums(weights, bias, layer.input.low, layer.input.high)
    assert -(2**31) <= min(least) and max(most) < 2**31
    assert np.allclose(evaluate(layer, x), k, rtol=1e-3)


def test_signal_to_noise():
    assert signal_to_noise_db(np.array([10.0]), np.array([9.0])) == pytest.approx(20.0)
    assert signal_to_noise_db(np.ones(3), np.ones(3)) == float("inf")
