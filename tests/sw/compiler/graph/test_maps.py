"""Operations on maps: torch-int against one element at a time, and the rules of each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from weft.compiler.graph.build import Builder
from weft.compiler.graph.ops import ADD_WEIGHT
from weft.compiler.graph.requant import Requant
from weft.compiler.graph.window import Window
from weft.errors import UsageError
from weft_hw.numerics import RESIDUAL_SHIFT

torch = pytest.importorskip("torch")

from weft.compiler.graph.reference import TorchInt  # noqa: E402

WINDOWS = [
    Window((3, 3), padding=(1, 1, 1, 1), value=-5),
    Window((3, 2), (2, 1), padding=(0, 1, 1, 0), value=7),
    Window((1, 3), (1, 2), (1, 2), (0, 0, 2, 1), -128),
    Window((2, 2), (2, 2)),
]


def requant(rng, n, residual=False) -> Requant:
    more = {}
    if residual:
        more = {"residual_multiplier": int(rng.integers(0, 9000)),
                "residual_zero_point": int(rng.integers(-128, 128))}
    return Requant(rng.integers(1 << 15, 1 << 17, n), rng.integers(21, 26, n),
                   zero_point=int(rng.integers(-20, 20)), low=-128, high=120, **more)


def scaled(by: Requant, total: int, channel: int, residual: int | None) -> int:
    """As the instruction set says, in Python integers."""
    channel = channel if len(by.multiplier) > 1 else 0
    value = max(-(2**24), min(2**24 - 1, total)) * int(by.multiplier[channel])
    if residual is not None:
        added = (residual - by.residual_zero_point) * by.residual_multiplier
        value += added << RESIDUAL_SHIFT
    shift = int(by.shift[channel])
    return max(by.low, min(by.high, by.zero_point + ((value + 2 ** (shift - 1)) >> shift)))


def naive(op, x, window, w, bias, by, residual):
    """Output pixel by output pixel, tap by tap."""
    top, _, left, _ = window.padding
    shape = (*window.output(*x.shape[:2]), w.shape[-1] if op == "conv2d" else x.shape[2])
    found = np.zeros(shape, np.int64)
    for y, z, n in itertools.product(*map(range, shape)):
        seen = []
        for i, j in itertools.product(*map(range, window.kernel)):
            a = y * window.stride[0] - top + i * window.dilation[0]
            b = z * window.stride[1] - left + j * window.dilation[1]
            inside = 0 <= a < x.shape[0] and 0 <= b < x.shape[1]
            pixel = x[a, b].tolist() if inside else [window.value] * x.shape[2]
            if op == "conv2d":
                seen.append(sum(p * int(k) for p, k in zip(pixel, w[i, j, :, n])))
            else:
                seen.append(pixel[n] * int(w[i, j, n]) if op == "depthwise" else pixel[n])
        total = max(seen) if op == "max_pool" else sum(seen) + int(bias[n])
        r = None if residual is None else int(residual[y, z, n])
        found[y, z, n] = total if by is None else scaled(by, total, n, r)
    return found


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("op", ["conv2d", "depthwise", "avg_pool", "max_pool", "max_pool_scaled"])
def test_windows(op, window):
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (6, 7, 3), np.int8)
    op, is_scaled = op.replace("_scaled", ""), op != "max_pool"
    n = 5 if op == "conv2d" else 3
    shape = (*window.kernel, 3, n) if op == "conv2d" else (*window.kernel, 3)
    w = rng.integers(-127, 128, shape, np.int8)
    bias = rng.integers(-9999, 9999, n).astype(np.int32)
    make, residual = Builder(), None
    a = make.input("x", x.shape)
    inputs = {"x": x}
    if op in ("conv2d", "depthwise"):
        residual = rng.integers(-128, 128, (*window.output(6, 7), n), np.int8)
        inputs["r"] = residual
        by = requant(rng, n, residual=True)
        r = make.input("r", residual.shape)
        out = make.convolution("f", a, w, bias, by, window=window, residual=r)
    else:
        by = requant(rng, 1) if is_scaled else None
        bias = np.full(n, -317 if op == "avg_pool" else 0, np.int32)
        more = {"bias": -317} if op == "avg_pool" else {}
        out = getattr(make, op)("f", a, window, by, **more)
    got = TorchInt().run(make.build(out), inputs)[0][out]
    np.testing.assert_array_equal(got, naive(op, x, window, w, bias, by, residual))


def test_add():
    rng = np.random.default_rng(4)
    a, b = rng.integers(-128, 128, (2, 4, 5, 3), np.int8)
    by, make = requant(rng, 1, residual=True), Builder()
    out = make.add("s", make.input("a", a.shape), make.input("b", b.shape), by, -777)
    got = TorchInt().run(make.build(out), {"a": a, "b": b})[0][out]
    pairs = zip(a.reshape(-1).tolist(), b.reshape(-1).tolist())
    want = [scaled(by, ADD_WEIGHT * x - 777, 0, y) for x, y in pairs]
    assert got.reshape(-1).tolist() == want


def test_concat():
    rng = np.random.default_rng(5)
    x, make = rng.integers(-128, 128, (3, 4, 5), np.int8), Builder()
    a = make.input("x", x.shape)
    w = rng.integers(-9, 9, (1, 1, 5, 16), np.int8)
    parts = [make.convolution(n, a, w, np.zeros(16, np.int32), requant(rng, 16)) for n in "pq"]
    graph = make.build(make.concat("c", *parts))
    assert graph.parts == {"p": "c", "q": "c"}
    whole = TorchInt().run(graph, {"x": x})[0]["c"]
    for i, name in enumerate("pq"):
        node = graph.nodes[i]
        want = naive("conv2d", x, Window(), w, np.zeros(16, np.int32), node.requant, None)
        np.testing.assert_array_equal(whole[:, :, 16 * i : 16 * i + 16], want, err_msg=name)


P = np.ones((1, 1, 4, 16), np.int8)


def _joined(make, x, *channels):
    by = requant(RNG, 16)
    made = [make.convolution(f"p{i}", x, P[..., :c], np.zeros(c, np.int32),
                             Requant(by.multiplier[:c], by.shift[:c]))
            for i, c in enumerate(channels)]  # fmt: skip
    return make.concat("c", *made), made


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda m, x: _joined(m, x, 8, 16)[0], "must have a multiple of 16 channels, not 8"),
        (lambda m, x: m.concat("c", x), "'x' must be computed for 'c' alone"),
        (lambda m, x: m.add("s", *_joined(m, x, 16, 16)[1], requant(RNG, 1, residual=True)),
         "must be computed for 'c' alone"),
    ],
)  # fmt: skip
def test_parts_that_are_none(build, words):
    make = Builder()
    with pytest.raises(UsageError, match=words):
        make.build(build(make, make.input("x", (6, 7, 4))))


def test_a_large_sum_wraps():
    """2**31 of a bias and a product of 127 * 127 wraps to a negative sum."""
    make = Builder()
    x = make.input("x", (1, 1, 1))
    w = np.full((1, 1, 1, 1), 127, np.int8)
    out = make.convolution("f", x, w, np.array([2**31 - 1], np.int32))
    graph = make.build(out)
    got = TorchInt().run(graph, {"x": np.full((1, 1, 1), 127, np.int8)})[0][out]
    assert got.item() == -(2**31) + 127 * 127 - 1


RNG = np.random.default_rng(1)
W, B = np.ones((3, 3, 4, 2), np.int8), np.zeros(2, np.int32)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda m, x: m.convolution("f", x, W[:, :, :3], B), "weights must be [3, 3, 4, 'N']"),
        (lambda m, x: m.convolution("f", x, W, B[:1]), "bias must be int32 [2], not int32 [1]"),
        (lambda m, x: m.convolution("f", x, W * -128, B), "weights must be in -127..127"),
        (lambda m, x: m.convolution("f", x, W, B, requant(RNG, 3)), "2 channels need as many"),
        (lambda m, x: m.convolution("f", x, W, B, requant(RNG, 2, residual=True)),
         "needs map, weights, bias, residual, not 3 operands"),
        (lambda m, x: m.convolution("f", x, W, B, requant(RNG, 2, residual=True), residual=x),
         "the residual must be int8 [4, 5, 2], not x: int8[6, 7, 4]"),
        (lambda m, x: m.convolution("f", x, W[..., 0][:, :, :2].copy(), B),
         "weights must be [3, 3, 4], not [3, 3, 2]"),
        (lambda m, x: m.convolution("f", x, np.ones((9, 1, 4, 2), np.int8), B),
         "does not fit a map"),
        (lambda m, x: m.avg_pool("f", x, Window((2, 2)), requant(RNG, 4)), "one scale, not 4"),
        (lambda m, x: m.avg_pool("f", x, Window((2, 2)), None), "needs a requantisation"),
        (lambda m, x: m.max_pool("f", x, Window((2, 2)), requant(RNG, 1, residual=True)),
         "max_pool takes no residual"),
        (lambda m, x: m.add("f", x, x, requant(RNG, 1)), "needs a requantisation with a residual"),
    ],
)  # fmt: skip
def test_refusals(build, words):
    make = Builder()
    with pytest.raises(UsageError) as error:
        make.build(build(make, make.input("x", (6, 7, 4))))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kernel": (0, 1)}, "kernel must be 2 ints >= 1, not (0, 1)"),
        ({"stride": (1,)}, "stride must be 2 ints"),
        ({"padding": (0, 0, 0, -1)}, "padding must be 4 ints >= 0"),
        ({"value": 128}, "the value of a border must be in -128..127, not 128"),
    ],
)
def test_windows_that_cannot_be(fields, words):
    with pytest.raises(UsageError) as error:
        Window(**fields)
    assert words in str(error.value)
