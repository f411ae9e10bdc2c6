"""ONNX's own cases of its integer operators, computed by accelerator programs."""

import warnings

import numpy as np
import pytest

from weft.backend.opening import open_backend
from weft.errors import Unsupported, UsageError
from weft.runtime.onnx_nodes import OPERATORS, run_operator
from weft_hw.config import preset

onnx = pytest.importorskip("onnx")
PREFIXES = ("test_convinteger", "test_matmulinteger", "test_qlinearconv", "test_qlinearmatmul")


def _cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX makes the cases of all operators, some with NaN
        import onnx.backend.test.loader as loader

        return [c for c in loader.load_model_tests(kind="node") if c.name.startswith(PREFIXES)]


CASES = {case.name: case for case in _cases()}


@pytest.fixture(scope="module", params=["emulator", "torch-int"])
def device(request):
    with open_backend(request.param, preset("pynq-z2")) as opened:
        yield opened


def test_there_are_twelve():
    assert len(CASES) == 12


@pytest.mark.parametrize("name", CASES)
def test_cases(device, name):
    case = CASES[name]
    (node,) = case.model.graph.node
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    order = [value.name for value in case.model.graph.input]
    for given, wanted in case.data_sets:
        values = dict(zip(order, given))
        inputs = [values[n] if n else None for n in node.input]
        got = run_operator(node.op_type, inputs, attributes, device)
        (want,) = wanted
        assert got.dtype == want.dtype and got.shape == want.shape
        tolerance = 1 if node.op_type.startswith("QLinear") else 0
        worst = np.abs(got.astype(np.int64) - want.astype(np.int64)).max()
        assert worst <= tolerance
        # How often the rounding of halves, or the multiplier, makes a step of difference.
        print(f"{name}: {np.count_nonzero(got != want)} of {got.size} elements differ by a step")


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(4))
def test_random_products(device, kind, seed):
    """Full ranges: weights that take three terms, zero points at the ends."""
    rng = np.random.default_rng(seed)
    info = np.iinfo(kind)
    a, b = (rng.integers(info.min, info.max + 1, s).astype(kind) for s in ((5, 33), (33, 7)))
    a_zero, b_zero = (np.array(rng.choice([info.min, info.max, 3]), kind) for _ in range(2))
    want = (a.astype(int) - int(a_zero)) @ (b.astype(int) - int(b_zero))
    np.testing.assert_array_equal(run_operator("MatMulInteger", [a, b, a_zero, b_zero], {}, device),
                                  want)  # fmt: skip


def test_a_random_convolution(device):
    import torch

    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (2, 3, 7, 6)).astype(np.uint8)
    w = rng.integers(0, 256, (5, 3, 3, 2)).astype(np.uint8)
    w_zero = rng.integers(0, 256, 5).astype(np.uint8)
    given = {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}
    got = run_operator("ConvInteger", [x, w, np.uint8(9), w_zero], given, device)
    padded = np.pad(x.astype(float) - 9, ((0, 0), (0, 0), (1, 2), (0, 1)))
    real = w.astype(float) - w_zero.reshape(-1, 1, 1, 1)
    want = torch.nn.functional.conv2d(
        torch.tensor(padded), torch.tensor(real), stride=(2, 1), dilation=(1, 2)
    )
    np.testing.assert_array_equal(got, want.numpy())


A, B = np.zeros((2, 3), np.uint8), np.zeros((3, 4), np.uint8)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "error", "words"),
    [
        ("Conv", [A, B], {}, Unsupported, "there is no operator 'Conv'; there are ConvInteger"),
        ("MatMulInteger", [A], {}, UsageError, "has 2 to 4 inputs, not 1"),
        ("MatMulInteger", [A, B.T], {}, UsageError, "have no product"),
        ("MatMulInteger", [A.astype(np.int16), B], {}, Unsupported, "must be int8 or uint8"),
        ("MatMulInteger", [A, B, np.zeros(2, np.uint8)], {}, Unsupported, "2 zero points"),
        ("ConvInteger", [A, B], {}, Unsupported, "maps of two dimensions are covered"),
        ("ConvInteger", [np.zeros((1, 2, 4, 4), np.uint8), np.zeros((2, 1, 3, 3), np.uint8)],
         {"group": 2}, Unsupported, "group and auto_pad are not covered"),
    ],
)  # fmt: skip
def test_refusals(device, op, inputs, attributes, error, words):
    with pytest.raises(error, match=words):
        run_operator(op, inputs, attributes, device)


def test_a_sum_beyond_int32_is_refused(device):
    big = np.full((1, 70_000), 255, np.uint8)
    with pytest.raises(Unsupported, match="beyond int32"):
        run_operator("MatMulInteger", [big, big.T], {}, device)


def test_every_operator_has_a_case():
    assert {case.model.graph.node[0].op_type for case in CASES.values()} == {*OPERATORS}
