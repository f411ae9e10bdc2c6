"""From torch to one program: exact on every backend, near float, operators where they should be."""

import numpy as np
import pytest
import torch
from torch import nn

import weft
from small_networks import Branches, Everything, inputs, net
from weft.errors import Unsupported, UsageError
from weft.runtime.compile import compile_model
from weft_hw.config import preset


def exact(compiled, x):
    """What the emulator gives, which torch-int must give too."""
    with compiled.open("emulator") as emulator, compiled.open("torch-int") as reference:
        got, want = emulator(x), reference(x)
    for a, b in zip(_all(got), _all(want)):
        assert torch.equal(a, b)
    return got


def _all(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def where(compiled):
    """Operators of the host that compute something."""
    borders = ("quantise", "dequantise")
    return {r.name: r.why for r in compiled.explain() if r.where == "host" and r.op not in borders}


def signal_to_noise(want, got):
    want = want.detach()
    return float(10 * torch.log10((want**2).sum() / ((want - got) ** 2).sum()))


def test_everything():
    torch.manual_seed(0)
    model, x = Everything().eval(), inputs(3, 32, 32)
    compiled = compile_model(model, x)
    y = exact(compiled, x)
    assert y.shape == (4, 10) and torch.allclose(y, model(x), atol=0.01)
    chip = [r for r in compiled.explain() if r.where == "accelerator"]
    ops = [r.op for r in chip]
    assert ops == ["conv2d", "max_pool", "depthwise", "conv2d", "avg_pool", "conv2d"]
    assert chip[0].fused == ["relu6"] and chip[3].fused == ["add", "relu_"]
    assert chip[2].fused == ["act"]
    assert where(compiled) == {"softmax": "its result is not quantised"}
    assert len(compiled.programs) == 1 and compiled.program is compiled.programs[0]
    assert chip[0].macs == 17 * 17 * 27 * 8 and chip[0].bound == "memory"
    assert chip[0].input_shape == [1, 3, 32, 32] and chip[0].output_shape == [1, 8, 17, 17]


def test_branches():
    torch.manual_seed(1)
    model, x = Branches().eval(), inputs(4, 6, 6)
    compiled = compile_model(model, x)
    got = exact(compiled, x)
    assert [tuple(y.shape) for y in got] == [(4, 5, 4, 4), (4, 3, 6, 6)]
    for y, want in zip(got, model(x)):
        assert signal_to_noise(want, y) > 25
    assert not where(compiled)


class Joined(nn.Module):
    """Parts of which one is read elsewhere, one comes from outside, one clamps behind the join."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 16, 1), nn.Conv2d(8, 32, 3, padding=1)
        self.c, self.d = nn.Conv2d(16, 32, 3, padding=1), nn.Conv2d(88, 10, 1)

    def forward(self, x):
        a, b = torch.relu(self.a(x)), self.b(x)
        return self.d(torch.relu(torch.cat([a, b, self.c(a), x], 1)))


def test_a_join_is_addresses():
    torch.manual_seed(2)
    model, x = Joined().eval(), inputs(8, 9, 7)
    compiled = compile_model(model, x)
    assert signal_to_noise(model(x), exact(compiled, x)) > 25
    assert not where(compiled) and len(compiled.programs) == 1
    names = [node.name for node in compiled.graphs[0].nodes]
    assert names == ["a", "b", "c", "cat.copy0", "cat.copy3", "cat", "relu_1", "d"]
    (join,) = [r for r in compiled.explain() if r.op == "concat"]
    assert join.where == "accelerator" and join.predicted_cycles is None


CASES = {
    "3x3": (net(nn.Conv2d(20, 33, 3, padding=1), nn.ReLU()), (20, 9, 7)),
    "odd width, three channels": (net(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), (3, 15, 13)),
    "one channel": (net(nn.Conv2d(1, 8, (10, 4), 2, (5, 1)), nn.ReLU()), (1, 49, 10)),
    "dilation": (net(nn.Conv2d(8, 8, 3, dilation=2, padding=2)), (8, 11, 11)),
    "depthwise 5x5": (net(nn.Conv2d(20, 20, 5, 2, 2, groups=20), nn.ReLU6()), (20, 11, 9)),
    "pools": (net(nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1)), (16, 12, 12)),
    "max pool, rounded up": (net(nn.Conv2d(3, 16, 1), nn.MaxPool2d(3, 2, ceil_mode=True)),
                             (3, 16, 16)),
    "adaptive": (net(nn.Conv2d(4, 16, 1), nn.AdaptiveAvgPool2d((2, 3))), (4, 6, 6)),
    "flatten, linear": (net(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 10)),
                        (3, 8, 8)),
    "perceptron": (net(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 40)), (40,)),
    "rows": (net(nn.Linear(24, 32), nn.SiLU(), nn.Linear(32, 24)), (7, 24)),
    "silu": (net(nn.Conv2d(8, 16, 1), nn.SiLU(), nn.Conv2d(16, 8, 1)), (8, 6, 6)),
    "table alone": (net(nn.MaxPool2d(2), nn.Tanh()), (8, 6, 6)),
    "leaky": (net(nn.Conv2d(8, 16, 1), nn.LeakyReLU(0.2)), (8, 6, 6)),
    "clamp alone": (net(nn.AvgPool2d(2), nn.ReLU(), nn.Conv2d(8, 4, 1)), (8, 6, 6)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_layers(case):
    model, shape = CASES[case]
    x = inputs(*shape)
    compiled = compile_model(model, x)
    y = exact(compiled, x)
    want = model(x)
    assert y.shape == want.shape and signal_to_noise(want, y) > 25
    assert not where(compiled), "all of it runs on the accelerator"
    assert len(compiled.programs) == 1


class Odd(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.first, self.second, self.call = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1), call

    def forward(self, x):
        return self.second(self.call(self.first(x)))


HOST = {
    "grouped": (net(nn.Conv2d(8, 8, 3, groups=2)), (8, 6, 6),
                {"0": "2 groups of 8 channels: the accelerator has one group, or one for each "
                      "channel"}),
    "multiplied depthwise": (net(nn.Conv2d(8, 16, 3, groups=8)), (8, 6, 6),
                             {"0": "8 groups of 8 channels: the accelerator has one group, or one "
                                   "for each channel"}),
    "own average": (net(nn.Conv2d(4, 8, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
                    (4, 7, 7), {"1": "an average that does not count its border"}),
    "between": (Odd(lambda x: x * torch.softmax(x, 1)).eval(), (4, 5, 5),
                {"softmax": "its result is not quantised",
                 "mul": "the accelerator has no such operator"}),
    "torch alone": (Odd(lambda x: torch.cumsum(x, 1)).eval(), (4, 5, 5),
                    {"cumsum": "the accelerator has no such operator"}),
    "constant": (Odd(lambda x: x + 1.5).eval(), (4, 5, 5),
                 {"add": "the accelerator has no such operator"}),
}  # fmt: skip


@pytest.mark.parametrize("case", HOST)
def test_what_the_accelerator_lacks_runs_on_the_host(case):
    model, shape, reasons = HOST[case]
    x = inputs(*shape)
    compiled = compile_model(model, x)
    assert signal_to_noise(model(x), exact(compiled, x)) > 20
    assert where(compiled) == reasons


def test_no_torch_on_the_host_is_a_promise():
    x = inputs(4, 5, 5)
    model = Odd(lambda x: x * torch.softmax(x, 1)).eval()
    assert compile_model(model, x, host_torch=False).artefact.torch_operators == []
    model = Odd(lambda x: torch.cumsum(x, 1)).eval()
    assert compile_model(model, x).artefact.torch_operators == ["aten.cumsum.default"]
    words = r"these operators need torch on the host: cumsum \(aten.cumsum.default\)"
    with pytest.raises(Unsupported, match=words):
        compile_model(model, x, host_torch=False)


def test_keep_float():
    model, x = CASES["silu"][0], inputs(8, 6, 6)
    compiled = compile_model(model, x, keep_float=["2"])
    assert where(compiled) == {"2": "its weights stay in float"}
    exact(compiled, x)
    with pytest.raises(UsageError, match="no layer is named '9'"):
        compile_model(model, x, keep_float=["9"])


def test_a_layer_that_does_not_fit_runs_on_the_host():
    """A line of this map is larger than the scratchpad of the tiny preset."""
    model, x = net(nn.Conv2d(64, 4, 3, padding=1)), inputs(64, 4, 700, count=2)
    compiled = compile_model(model, x, platform="tiny")
    assert "0" in where(compiled) and signal_to_noise(model(x), compiled(x)) > 25


def test_other_presets():
    model, x = CASES["3x3"][0], inputs(20, 9, 7)
    results = []
    for name in ("tiny", "pynq-z2", "kv260"):
        compiled = compile_model(model, x, platform=name)
        assert compiled.artefact.config == preset(name)
        results.append(exact(compiled, x))
    assert all(torch.equal(results[0], r) for r in results)


def test_called_like_the_model():
    model, x = CASES["perceptron"][0], inputs(40)
    compiled = weft.compile(model, x)
    y = compiled(x)
    assert isinstance(y, torch.Tensor) and y.shape == (4, 40)
    array = compiled(x.numpy())
    assert isinstance(array, np.ndarray) and np.array_equal(array, y.numpy())
    assert torch.equal(compiled(x[2:3]), y[2:3])


def test_calibration():
    model, x = CASES["perceptron"][0], inputs(40, count=6)
    whole = compile_model(model, x[:1], calibration=[x])
    parts = compile_model(model, x[:1], calibration=[(x[:4], torch.arange(4)), (x[4:], None)])
    assert torch.equal(whole(x), parts(x))
    told = []
    compile_model(model, x, progress=lambda done, text: told.append(text))
    assert "exporting the model" in told and "calibrating, 6 examples" in told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"example_inputs": inputs(40)[:1]}, "one example is none; give calibration"),
        ({"calibration": []}, "needs calibration data, there are none"),
        ({"calibration": [inputs(40) / 0]}, "calibration inputs must be finite"),
        ({"example_inputs": inputs(40).double()}, "must be float32, not torch.float64"),
        ({"example_inputs": torch.zeros(0, 40)}, r"must not be empty, not \[0, 40\]"),
        ({"example_inputs": None}, "there is no input"),
        ({"example_inputs": "x"}, "must be tensors, not str"),
        ({"model": nn.Linear(40, 2)}, "must be in eval mode, it is in train mode; call model.eval"),
        ({"model": "resnet"}, "must be a torch.nn.Module, not str"),
        ({"example_inputs": inputs(41)}, "torch.export cannot follow the model"),
    ],
)  # fmt: skip
def test_refusals(change, words):
    given = {"model": CASES["perceptron"][0], "example_inputs": inputs(40), **change}
    with pytest.raises((UsageError, Unsupported), match=words):
        compile_model(**given)


def test_control_flow_and_several_results(capfd):
    x = inputs(4, 5, 5)
    with pytest.raises(Unsupported, match="torch.export cannot follow the model"):
        compile_model(Odd(lambda x: x if x.sum() > 0 else -x).eval(), x)
    assert capfd.readouterr() == ("", ""), "what torch prints besides"
    with pytest.raises(Unsupported, match="(no single tensor|is not one that Weft can run)"):
        compile_model(Odd(lambda x: torch.cat(torch.chunk(x, 2, 1), 1)).eval(), x)
    with pytest.raises(Unsupported, match="is on no list of what runs on the host"):
        compile_model(Odd(lambda x: torch.linalg.matrix_exp(x)).eval(), x)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "takes 1 inputs, not 0"),
        ((np.zeros((2, 41), np.float32),), r"must be \[B, 40\]"),
        ((np.zeros((0, 40), np.float32),), "at least 1"),
        ((np.zeros((1, 40)),), "must be float32"),
        ((np.full((1, 40), np.nan, np.float32),), "NaN or infinity"),
        ((np.float32(1),), r"must be \[B, 40\]"),
    ],
)
def test_bad_inputs(given, words):
    compiled = compile_model(CASES["perceptron"][0], inputs(40))
    with pytest.raises(UsageError, match=words):
        compiled(*given)


def test_rows_of_the_host_library_need_no_accelerator():
    """Where nothing is on chip there is no program, and the model runs all the same."""
    model, x = net(nn.Softmax(1)), inputs(6)
    compiled = compile_model(model, x)
    assert not compiled.programs
    with compiled.open("rtl") as running:
        assert torch.allclose(running(x), model(x), atol=1e-6)
        assert running.cycles is None
    with pytest.raises(UsageError, match="the model has 0 programs"):
        assert compiled.program


def test_a_flattened_layer_on_the_host_keeps_its_shape():
    model = net(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 10))
    x = inputs(3, 8, 8)
    y = compile_model(model, x, keep_float=["3"])(x)
    assert y.shape == (4, 10) and signal_to_noise(model(x), y) > 25
