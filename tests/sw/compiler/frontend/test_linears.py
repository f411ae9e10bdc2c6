"""Which layers are linear by what they compute, and which cannot be computed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import weft  # noqa: E402
from weft.compiler.frontend.linears import (  # noqa: E402
    checksum,
    float_linear,
    linear_layers,
    sizes,
    why_not,
)
from weft.errors import UsageError  # noqa: E402

nn = torch.nn


class Cosine(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(nn.functional.normalize(x), self.weight)


class Named(nn.Linear):
    """Only a name, as many libraries have them."""


class Called(nn.Linear):
    def __call__(self, x):
        return super().__call__(x) * 2


class Wrapped(torch.Tensor):
    """As quantised weights come: a tensor of another kind."""


def layer(weight):
    made = nn.Linear(4, 3)
    made.weight = nn.Parameter(weight, requires_grad=False)
    return made


def patched():
    made = nn.Linear(4, 3)
    made.forward = lambda x: x
    return made


REASONS = {
    "Cosine has a forward of its own": lambda: Cosine(4, 3),
    "Called has a __call__ of its own": lambda: Called(4, 3),
    "its forward was replaced in this model": patched,
    "its weights do not exist before the first call": lambda: nn.LazyLinear(3),
    "its weight is sparse_coo": lambda: layer(torch.eye(3, 4).to_sparse()),
    "its weight is float8_e4m3fn": lambda: layer(torch.ones(3, 4).to(torch.float8_e4m3fn)),
    "its weight is complex64": lambda: layer(torch.ones(3, 4, dtype=torch.complex64)),
    "its weight is int8": lambda: layer(torch.ones(3, 4, dtype=torch.int8)),
    "its weight is empty": lambda: nn.Linear(4, 0),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("reason", REASONS)
def test_what_stays_says_why(reason):
    assert why_not(REASONS[reason]()) == reason


def test_a_tensor_of_another_kind_stays():
    made = nn.Linear(4, 3)
    made.weight = nn.Parameter(torch.ones(3, 4).as_subclass(Wrapped), requires_grad=False)
    assert "Wrapped" in why_not(made)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_linear_layer_by_any_name_goes(dtype):
    assert why_not(Named(4, 3, dtype=dtype)) is None


def test_conv1d_is_a_linear_layer_the_other_way_round():
    pytest.importorskip("transformers")
    from transformers.pytorch_utils import Conv1D

    made = Conv1D(5, 7)  # 7 in, 5 out
    assert list(linear_layers(nn.Sequential(made))) == ["0"]
    assert why_not(made) is None and sizes(made) == (7, 5)
    x, real = torch.randn(3, 7), float_linear(made)
    assert real.weight.shape == (5, 7)
    assert np.allclose(x.numpy() @ real.weight.T + real.bias, made(x).detach().numpy(), atol=1e-6)


def test_a_model_without_a_layer_to_accelerate_is_refused():
    model = nn.Sequential(Cosine(4, 3))
    with pytest.raises(UsageError, match="no linear layer of Sequential can .* 0: Cosine has a"):
        weft.quantise(model, [torch.ones(2, 4)])
    assert weft.quantise(model, [torch.ones(2, 4)], keep_float=["*"]).layers == {}


def test_a_layer_whose_sums_could_wrap_stays_on_the_host():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(80_000, 1, bias=False), nn.Linear(1, 2))
    with torch.no_grad():
        model[0].weight.fill_(1 / 80_000)
    x = torch.ones(2, 80_000)
    how = {"calibration": [x], "preset": "tiny", "backend": "torch-int"}
    with weft.accelerate(model, **how) as fast:
        assert [c.where for c in fast.choices] == ["host", "accelerator"]
        assert "sums of channel 0 can reach" in fast.choices[0].reason
        assert torch.allclose(fast(x), model[1](torch.ones(2, 1)).detach(), atol=0.02)


def test_checksums_see_every_way_to_write():
    made = nn.Linear(4, 3)
    sums = [checksum(made)]
    made.weight.data[0, 0] += 1
    sums.append(checksum(made))
    made.weight.detach().numpy()[1, 1] = 7
    sums.append(checksum(made))
    with torch.no_grad():
        made.bias.add_(1)
    sums.append(checksum(made))
    made.weight.data = made.weight.data.flip(0)
    sums.append(checksum(made))
    assert len(set(sums)) == len(sums)
    assert checksum(nn.Linear(4, 3, bias=False).bfloat16())
