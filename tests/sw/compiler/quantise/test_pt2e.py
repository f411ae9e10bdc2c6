"""The pitfalls of torchao's PT2E flow, each with what Weft does about it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from small_networks import Everything, inputs, net
from weft.compiler.frontend.export import export_model, load_exported
from weft.compiler.frontend.read import read_network
from weft.compiler.quantise import pt2e
from weft.compiler.quantise.pt2e import examples_of, has_quantisation, quantise_exported
from weft.errors import UsageError
from weft.runtime.compile import compile_model


def quantised(model, x, **more):
    exported = export_model(model, x)
    return read_network(quantise_exported(exported, examples_of([x], 1), **more)[0])


def ops(network):
    return [op.op for op in network.operators if op.op not in ("quantise", "dequantise")]


def test_batch_norm_is_folded():
    """In prepare, and not by the export: the graph before holds it, the one behind does not."""
    model, x = Everything().eval(), inputs(3, 32, 32)
    before = read_network(export_model(model, x).module())
    assert sum("batch_norm" in op.op for op in before.operators) == 2
    assert not any("batch_norm" in op for op in ops(quantised(model, x)))


def test_train_mode_is_refused_in_one_sentence():
    with pytest.raises(UsageError, match="b1 is in train mode; call model.eval()"):
        model = Everything().eval()
        model.b1.train()
        export_model(model, inputs(3, 32, 32))


def test_a_dead_channel_keeps_its_bias():
    """With torchao's least scale its bias would be some 2**40 steps, and saturate in silence."""
    model, x = net(nn.Conv2d(3, 8, 1)), inputs(3, 6, 6)
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, 1.5
    network = quantised(model, x)
    (conv,) = [op for op in network.operators if op.op == "conv2d"]
    assert conv.constants["steps"][2] >= pt2e.EPS
    y = compile_model(model, x)(x)
    assert torch.allclose(y[:, 2], torch.full_like(y[:, 2], 1.5), atol=0.05)


def test_no_calibration_is_refused():
    """torchao would take a scale of 1.0 without a word."""
    exported = export_model(net(nn.Linear(4, 2)), inputs(4))
    with pytest.raises(UsageError, match="needs calibration data, there are none"):
        quantise_exported(exported, [])


def test_batches_of_any_size_calibrate():
    """A graph that was exported for a batch of one refuses others: examples come one at a time."""
    x = inputs(4, count=7)
    assert [tuple(e[0].shape) for e in examples_of([x[:3], (x[3:], None)], 1)] == [(1, 4)] * 7
    model = net(nn.Linear(4, 2))
    assert torch.equal(compile_model(model, x)(x), compile_model(model, x, calibration=[x])(x))


def test_calibration_that_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="calibration inputs must be finite"):
        list(examples_of([torch.full((2, 4), float("nan"))], 1))


def test_pool_flatten_and_concat_have_one_scale():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Linear(72, 5)
            nn.init.normal_(self.b.weight, std=9)

        def forward(self, x):
            joined = torch.cat([F.max_pool2d(self.a(x), 2), F.max_pool2d(self.b(x), 2)], 1)
            return self.c(torch.flatten(F.pad(joined, [0, 0, 0, 0]), 1))

    network = quantised(Model().eval(), inputs(3, 6, 6))
    scales = {
        name: value.scale for name, value in network.values.items() if value.scale is not None
    }
    kept = [
        op for op in network.operators if op.op in ("max_pool2d", "concat", "reshape", "pad")
    ]
    assert len(kept) >= 4
    behind = set()
    for op in kept:
        (reader,) = network.consumers[op.output]
        behind.add(scales[reader.output])
        for name in op.inputs:
            behind.add(scales[network.producers[name].inputs[0]])
    assert len(behind) == 1


def test_sums_and_clamps_are_rounded_once():
    """Nothing is quantised between a convolution, what is added to it, and a clamp."""
    network = quantised(Everything().eval(), inputs(3, 32, 32))
    for op in network.operators:
        readers = [reader.op for reader in network.consumers[op.output]]
        if op.name == "c1":
            assert readers == ["clamp"]
        if op.name == "c3":
            assert readers == ["add"]
        if op.op == "add":
            assert readers == ["clamp"]


def test_the_converted_graph_is_no_reference():
    """torch computes it in floats, whose rounding differs: near the integers, and not equal."""
    torch.manual_seed(3)
    model, x = net(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3)), inputs(16, 10, 10)
    module, _ = quantise_exported(export_model(model, x), examples_of([x], 1))
    with torch.no_grad():
        floats = module(x[:1])
    integers = compile_model(model, x)(x[:1])
    step = floats.unique().diff().min()
    assert (floats - integers).abs().max() <= 1.5 * step


def test_weights_are_symmetric_and_use_the_range():
    network = quantised(Everything().eval(), inputs(3, 32, 32))
    for op in network.operators:
        if "integers" in op.constants:
            q = op.constants["integers"]
            assert q.dtype == np.int8 and q.min() >= -127
            assert (np.abs(q.reshape(len(q), -1)).max(1) >= 120).all()


def test_a_quantised_program_is_taken_as_it_is(tmp_path):
    model, x = net(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)), inputs(3, 6, 6)
    module, _ = quantise_exported(export_model(model, x), examples_of([x], 1))
    exported = torch.export.export(module, (x[:1],))
    assert has_quantisation(exported) and not has_quantisation(export_model(model, x))
    torch.export.save(exported, tmp_path / "m.pt2")
    again = compile_model(load_exported(tmp_path / "m.pt2"))
    assert torch.equal(again(x), compile_model(model, x)(x))
    with pytest.raises(UsageError, match="is quantised already"):
        compile_model(exported, keep_float=["0"])


def test_the_quantiser_of_another_tool():
    """uint8 activations, as torchao's x86 quantiser makes them, are int8 from the middle."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    model, x = net(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)), inputs(3, 6, 6)
    quantizer = X86InductorQuantizer()
    quantizer.set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(export_model(model, x).module(), quantizer)
    for one in x:
        prepared(one[None])
    compiled = compile_model(torch.export.export(convert_pt2e(prepared), (x[:1],)))
    want = model(x)
    assert ((compiled(x) - want) ** 2).sum() < 0.01 * (want**2).sum()


def test_other_packages_say_nothing():
    """Not on import, and not while they work; 3 s of import only where they are needed."""
    script = (
        "import sys, torch, weft\n"
        "assert 'torchao' not in sys.modules\n"
        "m = torch.nn.Linear(4, 2).eval(); x = torch.randn(4, 4)\n"
        "weft.compile(m, x)(x)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNDEFAULTENCODING"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, env=environment
    )
    assert (done.stdout, done.stderr) == (b"", b"")
