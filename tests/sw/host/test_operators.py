"""The numpy host library is torch's arithmetic, operator by operator."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from weft.errors import ToolMissing, Unsupported, UsageError
from weft.host import torch_operators
from weft.host.integers import dequantise, quantise
from weft.host.operators import OPERATORS
from weft.host.run import is_known, needs_torch, run_step

X = np.random.default_rng(1).normal(0, 2, (1, 6, 9, 10)).astype(np.float32)
Y = np.random.default_rng(2).normal(0, 2, X.shape).astype(np.float32)
W = np.random.default_rng(3).normal(0, 1, (8, 3, 3, 2)).astype(np.float32)
B = np.arange(8, dtype=np.float32)
L = np.random.default_rng(4).normal(0, 1, (5, 10)).astype(np.float32)
t = torch.from_numpy

CASES = {
    "sigmoid": ({}, torch.sigmoid),
    "silu": ({}, F.silu),
    "hardsigmoid": ({}, F.hardsigmoid),
    "hardswish": ({}, F.hardswish),
    "tanh": ({}, torch.tanh),
    "gelu": ({"approximate": "none"}, F.gelu),
    "gelu tanh": ({"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh")),
    "leaky_relu": ({"negative_slope": 0.1}, lambda x: F.leaky_relu(x, 0.1)),
    "elu": ({"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
    "clamp": ({"low": -1.0, "high": None}, lambda x: x.clamp(min=-1)),
    "clamp both": ({"low": 0.0, "high": 6.0}, F.relu6),
    "clamp none": ({"low": None, "high": None}, lambda x: x),
    "mean": ({"axes": [2, 3], "keep": True}, lambda x: x.mean((2, 3), True)),
    "mean flat": ({"axes": [1], "keep": False}, lambda x: x.mean(1)),
    "softmax": ({"axis": 1}, lambda x: x.softmax(1)),
    "log_softmax": ({"axis": 3}, lambda x: x.log_softmax(3)),
    "reshape": ({"shape": [1, 54, 10]}, lambda x: x.reshape(1, 54, 10)),
    "permute": ({"axes": [0, 2, 3, 1]}, lambda x: x.permute(0, 2, 3, 1)),
    "pad": ({"widths": [1, 2, 3, 0], "value": 0.5}, lambda x: F.pad(x, [1, 2, 3, 0], value=0.5)),
    "pad cut": ({"widths": [-1, 2, 0, -2], "value": 0.0}, lambda x: F.pad(x, [-1, 2, 0, -2])),
    "max_pool2d": (
        {"kernel": [3, 2], "stride": [2, 3], "padding": [1, 1, 1, 1], "dilation": [1, 2],
         "ceil": False},
        lambda x: F.max_pool2d(x, (3, 2), (2, 3), (1, 1), (1, 2)),
    ),
    "max_pool2d ceil": (
        {"kernel": [3, 3], "stride": [2, 2], "padding": [0] * 4, "dilation": [1, 1], "ceil": True},
        lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    ),
    "max_pool2d ceil border": (
        {"kernel": [2, 2], "stride": [3, 3], "padding": [1] * 4, "dilation": [1, 1], "ceil": True},
        lambda x: F.max_pool2d(x, 2, 3, 1, ceil_mode=True),
    ),
    "avg_pool2d": (
        {"kernel": [3, 2], "stride": [2, 2], "padding": [1, 1, 1, 1], "ceil": False,
         "border_counts": True},
        lambda x: F.avg_pool2d(x, (3, 2), 2, (1, 1)),
    ),
    "avg_pool2d own": (
        {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1, 1, 1], "ceil": False,
         "border_counts": False},
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    ),
    "avg_pool2d ceil": (
        {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1, 1, 1], "ceil": True,
         "border_counts": True},
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    ),
    "avg_pool2d ceil cut": (
        {"kernel": [2, 2], "stride": [3, 3], "padding": [1, 1, 1, 1], "ceil": True,
         "border_counts": False},
        lambda x: F.avg_pool2d(x, 2, 3, 1, ceil_mode=True, count_include_pad=False),
    ),
}  # fmt: skip
PAIRS = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}


@pytest.mark.parametrize("case", CASES)
def test_one_input(case):
    attributes, want = CASES[case]
    got = run_step(case.split()[0], [X], {}, attributes)
    np.testing.assert_allclose(got, want(t(X)).numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("op", PAIRS)
def test_two_inputs(op):
    np.testing.assert_allclose(run_step(op, [X, Y], {}, {}), PAIRS[op](t(X), t(Y)), rtol=1e-6)


def test_products():
    given = {"stride": [2, 1], "padding": [1, 0, 2, 1], "dilation": [1, 3], "groups": 2}
    got = run_step("conv2d", [X], {"weights": W, "bias": B}, given)
    want = F.conv2d(F.pad(t(X), [2, 1, 1, 0]), t(W), t(B), (2, 1), 0, (1, 3), 2)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    got = run_step("linear", [X], {"weights": L}, {})
    np.testing.assert_allclose(got, F.linear(t(X), t(L)), rtol=1e-4, atol=1e-5)


def test_concat():
    np.testing.assert_array_equal(
        run_step("concat", [X, Y], {}, {"axis": 3}), np.concatenate([X, Y], 3)
    )


def test_every_operator_is_tested():
    tested = {case.split()[0] for case in CASES} | {*PAIRS} | {"conv2d", "linear", "concat"}
    assert tested == {*OPERATORS}


def test_integers_and_reals():
    """Halves round up; what lies beyond is clamped; maps are channels last."""
    x = np.array([[[[-9, 0.25]], [[0.75, 99.0]]]], np.float32)  # [1, 2, 1, 2]
    q = quantise(x, 0.5, -3, -128, 100)
    assert q.dtype == np.int8 and q.tolist() == [[[-21, -1], [-2, 100]]]
    back = dequantise(q, 0.5, -3, [1, 2, 1, 2])
    assert back.tolist() == [[[[-9.0, 0.5]], [[1.0, 51.5]]]]
    rows = quantise(np.zeros((1, 3, 4), np.float32), 1.0, 7, -128, 127)
    assert rows.shape == (1, 3, 4) and (rows == 7).all()
    assert quantise(np.zeros((1, 4), np.float32), 1.0, 0, 0, 1).shape == (1, 1, 4)


def test_torch_computes_what_is_on_its_list():
    arguments = {"self": {"value": 0}, "other": {"constant": "c"}}
    got = run_step("aten.maximum.default", [X], {"c": Y}, {"arguments": arguments})
    np.testing.assert_array_equal(got, np.maximum(X, Y))
    arguments = {"self": {"value": 0}, "dim": [1], "keepdim": False, "dtype": {"dtype": "float64"}}
    got = run_step("aten.sum.dim_IntList", [X], {}, {"arguments": arguments})
    assert got.dtype == np.float64


@pytest.mark.parametrize(
    ("op", "arguments", "error", "words"),
    [
        ("aten.from_file.default", {}, Unsupported, "is not on the list"),
        ("aten.maximum.nonsense", {}, Unsupported, "is not one of this torch"),
        ("aten.maximum.default", {"self": {"value": 3}}, UsageError, "aten.maximum.default"),
        ("aten.sum.default", {"self": {"value": 0}, "dtype": {"dtype": "save"}}, UsageError,
         "there is no dtype 'save'"),
        ("aten.max_pool2d.default", {"self": {"value": 0}, "kernel_size": [99]}, UsageError,
         "aten.max_pool2d.default"),
    ],
)  # fmt: skip
def test_torch_refuses(op, arguments, error, words):
    with pytest.raises(error, match=words):
        run_step(op, [X], {}, {"arguments": arguments})


def test_a_machine_without_torch_says_so(monkeypatch):
    def missing(*packages, what):
        raise ToolMissing(f"{what} needs {packages[0]}")

    monkeypatch.setattr(torch_operators, "require", missing)
    with pytest.raises(ToolMissing, match="operator aten.sum.default needs torch"):
        run_step("aten.sum.default", [X], {}, {"arguments": {"self": {"value": 0}}})


def test_lists():
    assert not needs_torch("softmax") and not needs_torch("quantise")
    assert needs_torch("aten.sum.default") and is_known("aten.relu_.default")
    assert not is_known("aten.set_.source_Storage") and not is_known("os.system")


def test_bad_attributes_are_one_sentence():
    with pytest.raises(UsageError, match="operator reshape"):
        run_step("reshape", [X], {}, {"shape": [7]})
    with pytest.raises(UsageError, match="operator softmax"):
        run_step("softmax", [X], {}, {})
    with pytest.raises(UsageError, match="operator quantise: .*division"):
        run_step("quantise", [X], {}, {"step": 0, "zero_point": 0, "low": 0, "high": 1})
