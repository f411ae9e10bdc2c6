"""A layer that runs on the accelerator is still the module that it was."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import weft  # noqa: E402
from weft.backend.opening import open_backend  # noqa: E402
from weft.compiler.quantise.model import quantise  # noqa: E402
from weft.errors import AccuracyWarning, UsageError  # noqa: E402
from weft.runtime.accelerate import swap  # noqa: E402
from weft_hw.config import preset  # noqa: E402

nn = torch.nn
TINY = preset("tiny")
HOW = {"preset": "tiny", "backend": "torch-int"}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5)).eval()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(30, 12)


def test_type_place_weights_and_names_stay(model, x):
    layers, state = list(model), model.state_dict()
    names = [name for name, _ in model.named_parameters()]
    with weft.accelerate(model, calibration=[x], **HOW):
        assert [type(a) for a in model] == [nn.Linear, nn.ReLU, nn.Linear]
        assert all(a is b for a, b in zip(model, layers))
        assert model[0].weight.dtype == torch.float32 and model[2].bias.shape == (5,)
        assert (model[0].in_features, model[0].out_features) == (12, 9)
        assert [name for name, _ in model.named_parameters()] == names
        assert model.state_dict().keys() == state.keys()
        assert model.train()[0].training and not model.eval()[0].training


def test_a_keyword_is_the_argument_that_it_was(model, x):
    with weft.accelerate(model, calibration=[x], **HOW):
        assert torch.equal(model[0](input=x), model[0](x))
        for wrong in (lambda: model[0](), lambda: model[0](x, x), lambda: model[0](x=x)):
            with pytest.raises(TypeError, match=r"Linear.forward\(\) takes one argument, 'input'"):
                wrong()


def test_hooks_run_in_their_order_and_see_what_they_would(model, x):
    seen = []
    model[0].register_forward_pre_hook(lambda m, a: seen.append("before") or (a[0] * 2,))
    model[0].register_forward_hook(lambda m, a, y: seen.append("after") or y + 100)
    model[2].register_forward_hook(
        lambda m, a, k, y: seen.append(sorted(k)) or None, with_kwargs=True
    )
    with torch.no_grad():
        want = model(x)
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        seen.clear()
        got = fast(x)
        assert seen == ["before", "after", []]
        assert (got - want).abs().max() < 0.05 * want.abs().max()
    seen.clear()
    model(x)
    assert seen == ["before", "after", []], "and after restore()"


def test_weight_norm_and_parametrisations_are_part_of_the_layer(model, x):
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrizations.spectral_norm(model[2])
    with torch.no_grad():
        want = model(x)
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        assert [c.where for c in fast.choices] == ["accelerator"] * 2
        assert (fast(x) - want).abs().max() < 0.05 * want.abs().max()


@pytest.mark.parametrize("change", [
    lambda m: m[0].weight.data.mul_(2),
    lambda m: m[0].weight.detach().numpy().fill(1),
    lambda m: m[2].bias.data.add_(1),
    lambda m: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
    lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(9, 12))),
    lambda m: setattr(m[0], "bias", None),
])
def test_weights_that_changed_are_not_answered_for(model, x, change):
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        fast(x)
        change(model)
        with pytest.raises(UsageError, match="weights of layer '[02]' have changed since"):
            fast(x)


def test_autocast_gives_its_dtype(model, x):
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        with torch.autocast("cpu", torch.bfloat16):
            assert model[0](x).dtype == torch.bfloat16 == fast(x).dtype
            assert model[0](x.double()).dtype == torch.float64
        assert fast(x).dtype == torch.float32
        assert model[0](x.half()).dtype == torch.float16


def test_there_is_no_gradient_and_no_zero_in_its_place(model, x):
    with weft.accelerate(model, calibration=[x], **HOW):
        y = model(x)
        assert y.requires_grad, "as in torch"
        with pytest.raises(UsageError, match="layer '2' runs on the accelerator, .* no gradient"):
            y.sum().backward()
        with torch.no_grad():
            assert not model(x).requires_grad
    model(x).sum().backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_a_layer_that_the_user_replaced_stays_replaced(model, x):
    fast = weft.accelerate(model, calibration=[x], **HOW)
    mine = nn.Linear(9, 5)
    model[2] = mine
    fast.restore()
    assert model[2] is mine
    assert "forward" not in vars(model[0]) and not model[0]._forward_hooks


def test_a_model_is_accelerated_once(model, x):
    fast = weft.accelerate(model, calibration=[x], **HOW)
    with fast, pytest.raises(UsageError, match=r"already runs on an accelerator; call restore\(\)"):
        weft.accelerate(model, calibration=[x], **HOW)
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        assert fast(x).shape == (30, 5)


def test_a_buffer_that_numpy_fills_again_is_another_input(model, x):
    buffer = np.zeros((4, 12), np.float32)
    reused = torch.from_numpy(buffer)
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        for rows in (x[:4], x[4:8]):
            buffer[:] = rows
            assert torch.equal(fast.model(reused), fast.model(rows.clone()))


@pytest.mark.parametrize("backend", ["emulator", "torch-int", "rtl"])
def test_use_after_close_is_an_error(model, x, backend):
    if backend == "rtl":
        from weft import tools

        if tools.missing_for_simulation():
            pytest.skip("the simulator cannot be built here")
    device = open_backend(backend, TINY)
    fast = swap(model, quantise(model, [x]), device)
    program = device.program
    fast.restore()
    fast.restore()
    device.close()
    for use in (lambda: fast(x), lambda: fast.session.run("0", np.zeros((3, 12), np.int8)),
                lambda: device.load(program), lambda: device.run({}), device.counters,
                device.memory, device.reset, lambda: device.unload()):
        with pytest.raises(UsageError, match=f"the {backend} backend is closed; open it again"):
            use()
    if backend == "rtl":
        with pytest.raises(weft.errors.DeviceError, match="the simulation is closed"):
            device.simulation.run(10)
    with torch.no_grad():
        assert model(x).shape == (30, 5), "torch computes again"


def test_two_models_and_two_threads_share_a_device(x):
    torch.manual_seed(2)
    models = [nn.Sequential(nn.Linear(12, n)).eval() for n in (7, 30)]
    device = open_backend("emulator", TINY)
    both = [swap(m, quantise(m, [x]), device) for m in models]
    want, wrong = [fast(x[:3]) for fast in both], []

    def work(n):
        for _ in range(60):
            if not torch.equal(both[n](x[:3]), want[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n % 2,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    for fast in both:
        fast.restore()


def test_values_beyond_the_calibration_are_counted_and_named_once(model, x):
    with weft.accelerate(model, calibration=[x], **HOW) as fast:
        fast(x)
        assert fast.clipped == {}, "the calibration itself fits"
        with pytest.warns(AccuracyWarning, match="of 360 values at layer '0' lie beyond") as seen:
            fast(x * 10)
        assert len(seen) == 1, "results of layer 0 are cut off too, so layer 2 sees nothing new"
        low, high = float(x.min()), float(x.max())
        step = (high - low) / 255
        outside = ((x * 10 < low - step) | (x * 10 > high + step)).sum()
        assert fast.clipped["0"] == pytest.approx(int(outside), abs=3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fast(x * 10)
        assert fast.clipped["0"] == pytest.approx(2 * int(outside), abs=6)
    with weft.accelerate(model, calibration=[x], per_row=True, **HOW) as fast:
        fast(x * 1000)
        assert fast.clipped == {}


def test_noisy_layers_are_named(model):
    x = torch.cat([torch.full((1, 12), 1000.0), torch.randn(400, 12) * 0.1])
    rows = [x[:1], *x[1:].split(8)]
    with torch.no_grad():
        model[0].weight[:, 0] -= model[0].weight.sum(dim=1)
    with pytest.warns(AccuracyWarning, match=r"under 15 dB in 1 of 1 layers: '0' .* dB; keep"):
        quantise(model[:1], rows, migrate=False)


def test_bad_inputs_of_a_layer_are_refused(model, x):
    with weft.accelerate(model, calibration=[x], **HOW):
        for bad, why in (
            (x.int(), r"a tensor of floats \[..., 12\], not torch.int32 \[30, 12\]"),
            (x.to_sparse(), "needs a dense tensor"),
            (torch.tensor(1.0), "a tensor of floats"),
            (x.numpy(), "not ndarray"),
            (x[:, :3], r"needs \[..., 12\], not \[30, 3\]"),
        ):
            with pytest.raises(UsageError, match=why):
                model[0](bad)
        assert model[0](x[0]).shape == (9,) and model[0](x[:0]).shape == (0, 9)
        assert model[0](x.reshape(5, 2, 3, 12)).shape == (5, 2, 3, 9)
