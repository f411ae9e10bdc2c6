"""Products get near to float: weights for the inputs that they meet, biases for the means."""

import pytest
import torch
from torch import nn

from small_networks import inputs, net
from weft.compiler.frontend.export import export_model
from weft.compiler.quantise import products, pt2e
from weft.compiler.quantise.products import correct_products
from weft.compiler.quantise.pt2e import examples_of, quantise_exported


def depthwise():
    """A depthwise block whose weights round badly: one large weight a channel, the others small."""
    model = net(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6(), nn.Conv2d(8, 16, 1), nn.ReLU6(),
                nn.Flatten(), nn.Linear(16 * 36, 10, bias=False))  # fmt: skip
    with torch.no_grad():
        model[0].weight.abs_().mul_(0.02)
        model[0].weight[:, :, 1, 1] = 3.0
    return model


def means(module, floats, x):
    """Difference of the means of each channel of the first two products."""

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n):
            found = super().run_node(n)
            if n.name in ("conv2d", "conv2d_1"):
                kept.setdefault(n.name, []).append(found)
            return found

    sums = []
    for m in (module, floats):
        kept = {}
        for one in x:
            Recorder(m).run(one[None])
        sums.append({k: torch.cat(v).mean((0, 2, 3)) for k, v in kept.items()})
    return [(sums[0][k] - sums[1][k]).abs().max() for k in sums[0]]


def test_means(monkeypatch):
    model, x = depthwise(), inputs(8, 8, 8, count=6).abs()
    with torch.no_grad():
        with monkeypatch.context() as patch:
            patch.setattr(pt2e, "correct_products", lambda *_: None)
            module, floats = quantise_exported(export_model(model, x), examples_of([x], 1))
        before = means(module, floats, x)
        told = []
        correct_products(module, floats, [(one[None],) for one in x], told.append)
        after = means(module, floats, x)
    assert told == ["conv2d", "conv2d_1", "linear"]
    for old, new in zip(before, after):
        assert new < 1e-5 < old


def test_the_model_of_the_user_stays_as_it_is():
    model, x = depthwise(), inputs(8, 8, 8, count=6).abs()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    exported = export_model(model, x)
    first, _ = quantise_exported(exported, examples_of([x], 1))
    again, _ = quantise_exported(exported, examples_of([x], 1))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(first(x[:1]), again(x[:1]))


def test_it_is_what_quantisation_does():
    model, x = depthwise(), inputs(8, 8, 8, count=6).abs()
    module, floats = quantise_exported(export_model(model, x), examples_of([x], 1))
    assert max(means(module, floats, x)) < 1e-5
    rough, floats = quantise_exported(export_model(model, x), examples_of([x], 1), rough=True)
    assert max(means(rough, floats, x)) > 1e-5


def noise(module, floats, x):
    """Mean square error of the product's results."""
    found = []
    for m in (module, floats):
        run = torch.fx.Interpreter(m, garbage_collect_values=False)
        run.run(x[:1])
        found.append(next(v for n, v in run.env.items() if n.name == "conv2d"))
    return ((found[0] - found[1]) ** 2).mean()


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_results_are_nearer_than_with_the_nearest_weights(groups, monkeypatch):
    """Pictures of which some are bright; on one that was not calibrated on."""
    model = net(nn.Conv2d(8, 16, 3, groups=groups))
    bright = torch.arange(33) * 5 % 33 / 4.0
    x = bright[:, None, None, None] + 0.2 * inputs(8, 12, 12, count=33, seed=3)
    calibration = x[:32]
    exported = export_model(model, x[:1])
    after = noise(*quantise_exported(exported, examples_of([calibration], 1)), x[32:])
    monkeypatch.setattr(products, "MOST_TERMS", 0)
    before = noise(*quantise_exported(exported, examples_of([calibration], 1)), x[32:])
    assert after < 0.75 * before


def test_weights_that_two_layers_share_stay_as_they_are():
    layer = nn.Conv2d(4, 4, 1)
    model = net(layer, nn.ReLU(), layer)
    x = inputs(4, 6, 6, count=6)
    module, _ = quantise_exported(export_model(model, x), examples_of([x], 1))
    near = (layer.weight / layer.weight.abs().amax((1, 2, 3), keepdim=True) * 127).round()
    stored = [b for b in [*module.buffers(), *module.parameters()] if b.dtype == torch.int8]
    assert stored and all(torch.equal(s.float(), near) for s in stored if s.shape == near.shape)
