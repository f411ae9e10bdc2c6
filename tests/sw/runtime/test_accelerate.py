"""Swapping the linear layers of any torch model, calibration, and the engine below."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import weft  # noqa: E402
from quantised import quantise_linear  # noqa: E402
from weft.backend.opening import open_backend  # noqa: E402
from weft.compiler.lower import choose as lowering  # noqa: E402
from weft.compiler.quantise.linear import (  # noqa: E402
    integer_linear,
    migration_factors,
    quantise_to,
    signal_to_noise_db,
)
from weft.compiler.quantise.model import quantise  # noqa: E402
from weft.compiler.quantise.ranges import affine_range  # noqa: E402
from weft.dram import memory_of  # noqa: E402
from weft.errors import ToolMissing, Unsupported, UsageError  # noqa: E402
from weft.runtime import session as session_module  # noqa: E402
from weft.runtime.accelerate import swap  # noqa: E402
from weft.runtime.session import Session, bucket  # noqa: E402
from weft_hw.config import preset  # noqa: E402

TINY = preset("tiny")


class Branches(torch.nn.Module):
    """Two layers that read one tensor, one layer that the forward pass uses twice, one unused."""

    def __init__(self):
        super().__init__()
        self.left, self.right = torch.nn.Linear(24, 20), torch.nn.Linear(24, 12, bias=False)
        self.tail = torch.nn.Linear(32, 32)
        self.again = self.tail
        self.unused = torch.nn.Linear(3, 3)

    def forward(self, x):
        both = torch.cat([self.left(x), self.right(x)], dim=-1)
        return self.again(torch.relu(self.tail(both)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Branches().eval()


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    return [torch.randn(2, 9, 24) * torch.logspace(-1, 1, 24) for _ in range(4)]


@pytest.mark.parametrize(
    "options", [{}, {"per_row": True}, {"result": "int32"}, {"migrate": False}]
)
def test_the_answer_is_near_to_float(model, inputs, options):
    with torch.no_grad():
        want = model(inputs[0])
    with weft.accelerate(model, calibration=inputs, preset="tiny", **options) as fast:
        got = fast(inputs[0])
    assert got.shape == want.shape and got.dtype == want.dtype
    assert signal_to_noise_db(want.numpy(), got.numpy()) > 25
    with torch.no_grad():
        assert torch.equal(model(inputs[0]), want), "the float layers are back"


def test_every_place_of_a_layer_is_swapped_and_restored(model, inputs):
    float_tail = model.tail
    fast = weft.accelerate(model, calibration=inputs, preset="tiny", backend="torch-int")
    assert model.tail is model.again is float_tail, "layers stay where they are"
    assert [(c.layer, c.where) for c in fast.choices] == [
        ("left", "accelerator"),
        ("right", "accelerator"),
        ("tail", "accelerator"),
        ("unused", "host"),
    ]
    assert fast.choices[-1].reason == "not called by the calibration"
    fast(inputs[0])
    assert [r.layer for r in fast.session.runs] == ["left", "right", "tail", "tail"]
    assert [r.m for r in fast.session.runs] == [18] * 4, "a batch is one product per layer"
    fast.restore()
    fast.restore()
    assert model.tail is model.again is float_tail


def test_torch_int_and_the_emulator_give_the_same_bits(model, inputs):
    answers = []
    for backend in ("emulator", "torch-int"):
        with weft.accelerate(model, calibration=inputs, preset="tiny", backend=backend) as fast:
            answers.append(fast(inputs[1]))
    assert torch.equal(*answers)


def test_inference_mode_gives_the_same(model, inputs):
    with weft.accelerate(model, calibration=inputs, preset="tiny", backend="torch-int") as fast:
        wanted = fast(inputs[1])
        with torch.inference_mode():
            x = inputs[0].clone()
            fast.model(x)
            x.copy_(inputs[1])  # in place, which torch does not count here
            assert torch.equal(fast.model(x), wanted)


def test_a_migration_evens_out_the_channels(inputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 24)) * np.logspace(-2, 1, 24)
    weight = rng.normal(size=(8, 24)) / np.logspace(-2, 1, 24)
    want = x @ weight.T
    factors = migration_factors(np.abs(x).max(axis=0), np.abs(weight).max(axis=0))
    noise = []
    for f in (None, factors):
        source = affine_range(x if f is None else x / f)
        layer = quantise_to("l", weight, None, source, None, result="int32", factors=f)
        q, scale = layer.quantise(x)
        noise.append(signal_to_noise_db(want, layer.real(integer_linear(layer, q), scale)))
    assert noise[1] > noise[0] + 6


def test_results_of_a_layer_with_an_outlier_are_int16(model, inputs):
    with torch.no_grad():
        model.left.weight[3] *= 100
    with weft.accelerate(model, calibration=inputs, preset="tiny", backend="torch-int") as fast:
        results = {c.layer: c.result for c in fast.choices}
        reasons = {c.layer: c.reason for c in fast.choices}
    assert results["left"] == "int16" and results["right"] == "int8"
    assert "times the median" in reasons["left"]


def test_layers_can_be_kept_and_asked_for(model, inputs):
    options = {"preset": "tiny", "backend": "torch-int", "calibration": inputs}
    with weft.accelerate(model, keep_float=["ta*"], results={"left": "int32"}, **options) as fast:
        found = {c.layer: (c.where, c.result) for c in fast.choices}
        assert isinstance(model.tail, torch.nn.Linear)
    assert found["tail"] == ("host", "float32") and found["left"] == ("accelerator", "int32")
    with pytest.raises(UsageError, match="no linear layer is called 'tial'; there are tail"):
        weft.accelerate(model, keep_float=["tial"], **options)
    with pytest.raises(UsageError, match="result must be int8, int16 or int32, not 'int4'"):
        weft.accelerate(model, results={"left": "int4"}, **options)


def test_mappings_and_tuples_are_inputs(model, inputs):
    options = {"preset": "tiny", "backend": "torch-int"}
    for calibration in ([{"x": inputs[0]}], [(inputs[0],)]):
        with weft.accelerate(model, calibration=calibration, **options) as fast:
            assert fast(x=inputs[0]).shape == (2, 9, 32)
            assert fast(inputs[0][:0]).shape == (0, 9, 32)


def test_mistakes_are_named(model, inputs, monkeypatch):
    options = {"preset": "tiny", "backend": "torch-int"}
    with pytest.raises(UsageError, match="ReLU has no nn.Linear layer"):
        weft.accelerate(torch.nn.ReLU(), calibration=inputs, **options)
    with pytest.raises(UsageError, match="calibration needs at least one input"):
        weft.accelerate(model, calibration=[], **options)
    with pytest.raises(UsageError, match="the input of layer 'left' holds NaN or infinity"):
        weft.accelerate(model, calibration=[inputs[0] * float("nan")], **options)
    with pytest.raises(UsageError, match="unknown preset 'z3'"):
        weft.accelerate(model, calibration=inputs, preset="z3")
    with pytest.raises(UsageError, match="backend must be one of rtl, emulator, pynq, torch-int"):
        weft.accelerate(model, calibration=inputs, preset="tiny", backend="fpga")
    with weft.accelerate(model, calibration=inputs, **options) as fast:
        with pytest.raises(UsageError, match="the input of layer 'left' holds NaN or infinity"):
            fast(inputs[0] / 0)
        with pytest.raises(UsageError, match=r"layer 'left' needs \[..., 24\], not \[2, 5\]"):
            fast(torch.zeros(2, 5))
    monkeypatch.setattr("weft.compiler.schedule.search.MAX_ARENA_BYTES", 100)
    lowering.scheduled.cache_clear()
    with pytest.raises(Unsupported, match="layer 'left': gemm .* needs an arena of .*keep_float"):
        weft.accelerate(model, calibration=inputs, preset="tiny")
    assert isinstance(model.left, torch.nn.Linear)
    with torch.no_grad():
        model.left.weight[0, 0] = float("inf")
    with pytest.raises(UsageError, match="the output of layer 'left' holds NaN"):
        weft.accelerate(model, calibration=inputs, **options)


def test_a_device_is_closed_where_its_model_is_refused(model, inputs, monkeypatch):
    device, closed = open_backend("torch-int", TINY), []
    monkeypatch.setattr(device, "close", lambda: closed.append(True))
    with pytest.raises(UsageError, match="Sequential has no linear layer 'left'; give the model"):
        swap(torch.nn.Sequential(), quantise(model, inputs), device)
    assert closed == [True]


def test_torch_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("weft.tools._found", lambda module: False)
    with pytest.raises(ToolMissing, match=r"weft\.accelerate needs torch.*weft\[torch\]"):
        _ = weft.accelerate
    with pytest.raises(AttributeError):
        _ = weft.decelerate


def test_buckets_are_few_and_add_little():
    for rows in range(1, 3000):
        padded = bucket(rows, 16)
        assert padded >= rows and padded % 16 == 0
        assert padded - rows < max(16, rows / 7)
    assert len({bucket(rows, 16) for rows in range(1, 4097)}) < 60


def test_programs_are_compiled_once(monkeypatch):
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(12, 20)), rng.normal(size=(30, 20))
    layer = quantise_linear("a", weight, None, x, x @ weight.T)
    searches = []
    search = lowering.schedule_node

    def counted(config, problem, memory, **more):
        searches.append(problem.m)
        return search(config, problem, memory, **more)

    monkeypatch.setattr(lowering, "schedule_node", counted)
    lowering.scheduled.cache_clear()
    monkeypatch.setattr(session_module, "MAX_ROWS", 24)
    with Session(open_backend("emulator", TINY), memory_of(TINY)) as session:
        session.add("a", layer.graph)
        q, _ = layer.quantise(x)
        for rows in (3, 5, 8, 30, 29):
            want = integer_linear(layer, q[:rows])
            assert np.array_equal(session.run("a", q[:rows]), want)
        assert searches == [8, 24]
        assert [r.m for r in session.runs] == [3, 5, 8, 24, 6, 24, 5]
        with pytest.raises(UsageError, match="the session has no layer 'b'"):
            session.run("b", q)
        with pytest.raises(UsageError, match=r"int8 \[M, 20\], not int8 \[30, 3\]"):
            session.run("a", q[:, :3])
        with pytest.raises(UsageError, match="'a' needs activations int8 .* not float64"):
            session.run("a", x)


def test_quantising_needs_no_device_and_is_done_once(model, inputs, monkeypatch):
    """The four calls one by one: the same integers on two devices, and explained without any."""
    monkeypatch.setattr("weft.backend.opening.BACKENDS", {})
    quantised = quantise(model, inputs)
    assert [c.where for c in quantised.choices] == ["accelerator"] * 3 + ["host"]
    assert "linear(a, left.weights, left.bias)" in str(quantised)
    assert quantised.groups == (("left", "right"), ("tail",))
    with pytest.raises(UsageError, match="backend must be one of"):
        open_backend("emulator", TINY)
    monkeypatch.undo()
    answers = []
    for name in ("emulator", "torch-int"):
        with swap(model, quantised, open_backend(name, TINY)) as fast:
            answers.append(fast(inputs[0]))
    assert torch.equal(*answers)
    with pytest.raises(UsageError, match="Linear has no linear layer 'left'"):
        swap(torch.nn.Linear(24, 3), quantised, open_backend("emulator", TINY))
