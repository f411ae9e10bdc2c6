"""The independent reference against plain Python integers and, on a GPU, against itself."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from weft.errors import ToolMissing, UsageError

torch = pytest.importorskip("torch")

from weft.compiler.graph import reference as torch_int  # noqa: E402
from weft.compiler.graph.build import linear_layer  # noqa: E402
from weft.compiler.graph.graph import Graph, Node  # noqa: E402
from weft.compiler.graph.reference import TorchInt  # noqa: E402
from weft.compiler.graph.requant import Requant  # noqa: E402
from weft.compiler.graph.tensor import Tensor  # noqa: E402


def naive(a, w, bias, *, result, multiplier, shift, pre, zero_point, low, high, table):
    """One element at a time, in Python integers."""
    rows = []
    for row in a.tolist():
        out = []
        for n in range(w.shape[1]):
            v = int(bias[n]) + sum(x * int(y) for x, y in zip(row, w[:, n]))
            v = (v + 2**31) % 2**32 - 2**31
            if result != "int32":
                v = max(-(2**24), min(2**24 - 1, v // 2**pre))
                s = int(shift[n])
                v = zero_point + (v * int(multiplier[n]) + 2 ** (s - 1)) // 2**s
                v = min(max(v, low), high)
                if table is not None:
                    v = int(table[v % 256])
            out.append(v)
        rows.append(out)
    return rows


def gemm(a, w, bias, *, result, device="cpu", **options):
    """One layer on torch-int."""
    requant = None if result == "int32" else Requant(**options)
    layer = linear_layer("l", w, bias, requant, result)
    return TorchInt(device).run(layer, {"a": a})[0]["out"]


def case(rng, m, k, n, result, table=False):
    narrow = result == "int8"
    return (
        rng.integers(-128, 128, (m, k), np.int8),
        rng.integers(-127, 128, (k, n), np.int8),
        rng.integers(-(2**31), 2**31, n).astype(np.int32),
        {
            "result": result,
            "multiplier": rng.integers(0, 2**17, n),
            "shift": rng.integers(1, 43, n),
            "pre": int(rng.integers(0, 8)),
            "zero_point": int(rng.integers(-20, 20)),
            "low": -128 if narrow else -(2**15),
            "high": 127 if narrow else 2**15 - 1,
            "table": rng.integers(-128, 128, 256, np.int8) if table else None,
        },
    )


@pytest.mark.parametrize("result", ["int8", "int16", "int32"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (9, 40, 17)], ids=str)
def test_equals_python_integers(shape, result):
    for seed in range(5):
        a, w, bias, options = case(np.random.default_rng(seed), *shape, result)
        got = gemm(a, w, bias, **options)
        assert got.dtype == np.dtype(result)
        assert got.tolist() == naive(a, w, bias, **options), f"seed {seed}"


def test_table_equals_python_integers():
    a, w, bias, options = case(np.random.default_rng(3), 6, 20, 9, "int8", table=True)
    assert gemm(a, w, bias, **options).tolist() == naive(a, w, bias, **options)


def test_sums_wrap_at_32_bits():
    a = np.full((1, 40), -128, np.int8)
    w = np.full((40, 1), -127, np.int8)
    bias = np.array([2**31 - 1], np.int32)
    assert gemm(a, w, bias, result="int32").tolist() == [[2**31 - 1 + 40 * 128 * 127 - 2**32]]


def test_takes_constants_and_no_functions():
    """A function of numerics would hide its own error from the comparison."""
    tree = ast.parse(Path(torch_int.__file__).read_text(encoding="utf-8"))
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "weft_hw.numerics"
        for alias in node.names
    ]
    assert names and all(name.isupper() for name in names)


def test_refuses_other_inputs_and_operations():
    layer = linear_layer("l", np.ones((4, 2), np.int8), np.zeros(2, np.int32))
    torch_int = TorchInt()
    for inputs, sentence in (
        ({}, "the graph has the inputs a, not "),
        ({"b": np.zeros((1, 4), np.int8)}, "the graph has the inputs a, not b"),
        ({"a": np.zeros((1, 4), np.int16)}, "input a: int8[M, 4] is not int16 [1, 4]"),
        ({"a": np.zeros((1, 5), np.int8)}, "input a: int8[M, 4] is not int8 [1, 5]"),
        ({"a": np.zeros(4, np.int8)}, "input a: int8[M, 4] is not int8 [4]"),
    ):
        with pytest.raises(UsageError) as caught:
            torch_int.run(layer, inputs)
        assert sentence in str(caught.value)
    strange = Graph(
        [Tensor("a", "int8", (1,)), Tensor("b", "int8", (1,))],
        (Node("n", "sort", ("a",), "b"),), ("a",), ("b",),
    )
    with pytest.raises(UsageError, match="torch-int has no operation 'sort'"):
        torch_int.run(strange, {"a": np.zeros(1, np.int8)})


def test_missing_gpu_is_a_sentence():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ToolMissing, match="torch has no CUDA device here; use device='cpu'"):
        TorchInt("cuda")


def test_cuda_equals_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    for result in ("int8", "int16", "int32"):
        a, w, bias, options = case(np.random.default_rng(0), 37, 2000, 77, result)
        want = gemm(a, w, bias, **options)
        assert np.array_equal(gemm(a, w, bias, device="cuda", **options), want)
