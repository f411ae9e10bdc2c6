"""Inputs as people have them: what is clear is taken, the rest is refused in one sentence."""

from __future__ import annotations

from collections import UserDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import weft  # noqa: E402
from weft.compiler.frontend.inputs import arguments_of, inputs_of  # noqa: E402
from weft.errors import UsageError  # noqa: E402

nn = torch.nn
HOW = {"preset": "tiny", "backend": "torch-int"}


class One(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(x)


class Two(One):
    def forward(self, x, scale, shift=0.0):
        return self.fc(x * scale) + shift


def same(a, b):
    return torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_every_clear_form_is_the_same_input():
    x = torch.randn(3, 6)
    model = One()
    labels = torch.tensor([1, 2, 3])
    for one in (x, (x,), [x], [x, labels], x.numpy(), x.double().numpy(), [x.numpy(), labels]):
        (got,), named = arguments_of(model, one)
        assert same(got, x) and not named
        assert got.dtype == torch.float32
    for one in ({"x": x}, UserDict(x=x), UserDict(x=x.numpy())):
        arguments, named = arguments_of(model, one)
        assert not arguments and list(named) == ["x"] and same(named["x"], x)
    scale = torch.tensor(2.0)
    for one in ((x, scale), [x, scale]):
        assert all(same(a, b) for a, b in zip(arguments_of(Two(), one)[0], (x, scale)))
    assert len(arguments_of(Two(), (x, scale, scale))[0]) == 3


@pytest.mark.parametrize(("one", "why"), [
    ([torch.ones(1)] * 3, "a list of 3 is not clear: Two.forward takes 2 to 3 arguments"),
    ([], "a list of 0 is not clear"),
    ("text", "an input of the model cannot be a str"),
    (None, "cannot be a NoneType"),
    ({1: torch.ones(1)}, "keywords of an input must be names, not 1"),
    ((np.array(["a", "b"]),), "an input holds values of type <U1"),
    (({1, 2},), None),
])
def test_what_is_not_clear_is_refused(one, why):
    if why is None:
        assert arguments_of(Two(), one) == (one, {})
        return
    with pytest.raises(UsageError, match=why):
        arguments_of(Two(), one)


def test_a_tensor_is_one_input_not_its_rows():
    x = torch.randn(3, 6)
    for calibration in (x, x.numpy(), {"x": x}):
        assert len(list(inputs_of(calibration))) == 1
    assert len(list(inputs_of(x for _ in range(3)))) == 3
    for bad in (None, 3, "inputs", One()):
        with pytest.raises(UsageError, match="calibration must be an iterable of inputs, not"):
            inputs_of(bad)


def test_a_loader_with_labels_calibrates_and_arrays_are_inputs():
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(20, 6), torch.arange(20))
    model = One().eval()
    with weft.accelerate(model, calibration=torch.utils.data.DataLoader(data, 4), **HOW) as fast:
        x = data.tensors[0][:5]
        want = fast(x)
        assert torch.equal(fast(x.numpy()), want) and torch.equal(fast(x=x.double().numpy()), want)


@pytest.mark.parametrize(("model", "why"), [
    (lambda x: x, "must be a torch.nn.Module, not the function <lambda>"),
    (One, "must be a torch.nn.Module, not the class One"),
    (np.ones(3), "must be a torch.nn.Module, not ndarray"),
    (nn.ReLU(), "ReLU has no nn.Linear layer"),
    (nn.Linear(6, 4, device="meta"), "weights of layer '' are on the device 'meta'"),
])
def test_what_is_no_model_is_refused(model, why):
    with pytest.raises(UsageError, match=why):
        weft.accelerate(model, calibration=[torch.ones(2, 6)], **HOW)
