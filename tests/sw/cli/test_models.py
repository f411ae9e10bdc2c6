"""Commands on models: what they print, what they write, what they refuse, each in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schema_check import load_checked
from weft.cli import main

pytest.importorskip("torchao")

SOURCE = '''
import torch
from torch import nn

torch.manual_seed(0)
MODEL = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)).eval()
X = torch.randn((6, 3, 8, 8), generator=torch.Generator().manual_seed(1))


def net():
    return MODEL, X


def bare():
    return MODEL


def host():
    class Sums(nn.Module):
        def forward(self, x):
            return torch.cumsum(x, 1)
    return nn.Sequential(MODEL, Sums()).eval(), X


def training():
    return nn.Sequential(nn.Conv2d(3, 8, 3)), X


def nothing():
    return 3


def data():
    yield X[:4], MODEL(X[:4]).argmax(1)
    yield X[4:], MODEL(X[4:]).argmax(1)
'''


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(SOURCE)
    return tmp_path


@pytest.fixture
def weft(capsys):
    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        captured = capsys.readouterr()
        assert int(caught.value.code or 0) == code, captured.err
        return captured.out if not code else captured.err

    return run


@pytest.fixture
def weft_json(weft):
    return lambda *arguments: load_checked(weft(*arguments, "--json"))


def test_models(weft, weft_json):
    found = weft_json("models")["results"]
    assert {"digits", "resnet18"} <= {m["name"] for m in found}
    assert "mobilenet-v2" in weft("models")


def test_explain(weft, weft_json):
    found = weft_json("explain", "my.py:net")["results"]
    assert [(r["op"], r["where"]) for r in found] == [
        ("quantise", "host"), ("conv2d", "accelerator"), ("conv2d", "accelerator"),
        ("dequantise", "host"),
    ]  # fmt: skip
    assert found[1]["fused"] == ["1"] and found[1]["macs"] == 36 * 27 * 8
    out = weft("explain", "my.py:host")
    assert "cumsum" in out and "its result is not" in out


def test_compile_and_run(weft, weft_json):
    options = ("-o", "n.weft", "--pixels", "127.5,127.5")
    (made,) = weft_json("compile", "my.py:net", *options)["results"]
    assert made["macs"] == made["macs_on_chip"] == 36 * 27 * 8 + 288 * 5
    assert made["operators"] == made["operators_on_chip"] == 2 and not made["torch_operators"]
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save("x.png")
    np.save("x.npy", ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None])
    weft("run", "n.weft", "--input", "x.png", "-o", "a.npy")
    (result,) = weft_json("run", "n.weft", "--input", "input=x.npy", "-o", "out")["results"]
    assert result["backend"] == "emulator" and result["cycles"] is None
    a, b = np.load("a.npy"), np.load(result["outputs"][0]["path"])
    assert a.shape == (1, 5) and np.array_equal(a, b)


def test_batches(weft):
    weft("compile", "my.py:net", "-o", "n.weft")
    x = np.random.default_rng(1).normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.save("x.npy", x)
    np.save("one.npy", x[1:2])
    weft("run", "n.weft", "--input", "x.npy", "-o", "a.npy")
    weft("run", "n.weft", "--input", "one.npy", "-o", "b.npy")
    assert np.array_equal(np.load("a.npy")[1:2], np.load("b.npy"))


def test_bench(weft, weft_json):
    found = weft_json("bench", "model", "my.py:net", "--backend", "emulator")
    layers = found["results"]
    assert [r["op"] for r in layers][-1] == "total" and found["seed"] == 0
    assert all(r["exact"] for r in layers if r["where"] == "accelerator")
    assert "total" in weft("bench", "model", "my.py:net", "--backend", "emulator")


def test_evaluate(weft, weft_json):
    (found,) = weft_json("evaluate", "my.py:bare", "--data", "my.py:data")["results"]
    assert (found["examples"], found["float_accuracy"]) == (6, 1.0)
    assert found["top1_agreement"] == found["accuracy"] and len(found["layers"]) == 2
    assert "right in float" not in weft("evaluate", "my.py:net", "--layers", "1")


def test_cache(weft, weft_json, monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    assert "is empty" in weft("cache", "ls")
    weft("explain", "my.py:net")
    from weft.compiler.lower.choose import scheduled

    scheduled.cache_clear()
    weft("explain", "my.py:net")
    (entry,) = weft_json("cache", "ls")["results"]
    assert entry["kind"] == "tilings" and entry["bytes"] > 0
    assert "tilings" in weft("cache", "ls")
    assert weft("cache", "clear", "--kind", "rtl") == "0 entries removed, 0.0 MB\n"
    assert len(weft_json("cache", "clear")["results"]) == 1
    assert "has no 'x'" in weft("cache", "clear", "--kind", "x", code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("explain nonsense", 2, "there is no model 'nonsense'; give a built-in name (digits, "),
        ("explain none.py:net", 2, "MODEL: there is no file none.py"),
        ("explain my.py:none", 2, "my.py has no function 'none'"),
        ("explain my.py:nothing", 2, "must return a torch.nn.Module, or that and its inputs"),
        ("explain my.py:bare", 2, "my.py:bare gives no inputs; let it return (model, inputs)"),
        ("explain my.py:training", 2, "must be in eval mode"),
        ("explain none.pt2", 2, "cannot read none.pt2"),
        ("explain my.py:net --keep-float 7", 2, "no layer is named '7'"),
        ("explain my.py:net --data my.py", 2, "--data must be FILE.py:FUNCTION"),
        ("explain my.py:net --data nowhere.at_all:x", 2, "--data: No module named 'nowhere'"),
        ("explain my.py:net --preset z3", 2, "unknown preset 'z3'"),
        ("compile my.py:net", 2, "Missing option"),
        ("compile my.py:net -o no/such/n.weft", 2, "is no folder, so n.weft cannot be written"),
        ("compile my.py:net -o n.weft --pixels 3", 2, "--pixels takes MEAN,STD, not '3'"),
        ("compile my.py:net -o n.weft --pixels 1,0", 2, "a std above zero"),
        ("compile my.py:host -o n.weft --no-host-torch", 4, "need torch on the host: cumsum ("),
        ("bench model my.py:net --backend pynq", 2, "backend must be rtl or emulator"),
        ("evaluate my.py:net --backend fpga", 2, "backend must be one of"),
        ("run none.weft --input x.npy", 2, "cannot read none.weft"),
    ],
)  # fmt: skip
def test_mistakes(weft, arguments, code, words):
    err = weft(*arguments.split(), code=code)
    assert err.startswith("weft: ") and err.count("\n") == 1 and words in err


def test_mistakes_of_a_run(weft):
    weft("compile", "my.py:net", "-o", "n.weft")
    from PIL import Image

    Image.new("RGB", (8, 8)).save("x.png")
    Image.new("RGB", (9, 8)).save("wide.png")
    np.save("x.npy", np.zeros((1, 3, 8, 8)))
    said = weft("run", "n.weft", "--input", "x.png", code=2)
    assert "does not say what pixels stand for; compile it with --pixels" in said
    assert "must be float32" in weft("run", "n.weft", "--input", "x.npy", code=2)
    assert "has no input 'y'" in weft("run", "n.weft", "--input", "y=x.npy", code=2)
    weft("compile", "my.py:net", "-o", "p.weft", "--pixels", "0,255")
    said = weft("run", "p.weft", "--input", "wide.png", code=2)
    assert "is a picture of 9x8 pixels, the model takes 8x8; scale or cut it first" in said
    assert "is no picture" in weft("run", "p.weft", "--input", "my.py", code=2)
    raw = bytearray(Path("p.weft").read_bytes())
    raw[len(raw) // 2] ^= 1
    Path("p.weft").write_bytes(raw)
    assert "was changed after it was written" in weft("run", "p.weft", "--input", "x.png", code=5)
