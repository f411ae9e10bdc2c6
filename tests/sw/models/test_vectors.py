"""Texts as they are in files, and vectors that belong to them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from weft.errors import AccuracyWarning, Mismatch, UsageError
from weft.models.vectors import DIMENSIONS, read_vectors, require_embedded, write_vectors

pytest.importorskip("torch")

from weft.models.sentence import MAX_TOKENS, SentenceModel, read_texts  # noqa: E402


@pytest.mark.parametrize(("data", "texts"), [
    (b"a\nb\n", ["a", "b"]),
    (b"a\r\nb\r\n", ["a", "b"]),
    (b"a\nb", ["a", "b"]),
    ("a\u2028b\nc\x0cd\ne\x85f\x1dg\x0bh\n".encode(), ["a\u2028b", "c\x0cd", "e\x85f\x1dg\x0bh"]),
    (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
    (b"a\rb\n", ["a\rb"]),
])
def test_lines_end_at_line_feeds_only(data, texts):
    assert read_texts(data, "f") == texts


@pytest.mark.parametrize(("data", "why"), [
    ("a\n".encode("utf-16"), "f is not UTF-8 text: byte 0, in line 1"),
    (b"a\n\nb\n", "line 2 of f is empty"),
    (b"a\nb\n\n", "line 3 of f is empty"),
    (b"", "f holds no text"),
    (b"\n \n", "f holds no text"),
    (b"a\nb\0c\n", "line 2 of f holds a zero byte"),
    (b"ok\n\xffbad\n", "byte 3, in line 2"),
])
def test_what_is_no_text_is_refused(data, why):
    with pytest.raises(UsageError, match=why):
        read_texts(data, "f")


def rows(n=3):
    return np.random.default_rng(0).normal(size=(n, DIMENSIONS)).astype(np.float32)


def test_vectors_know_their_texts(tmp_path):
    path, file = tmp_path / "v.npy", tmp_path / "t.txt"
    write_vectors(path, rows(), b"a\nb\nc\n")
    assert np.array_equal(read_vectors(path), rows())
    require_embedded(path, 3, file, b"a\nb\nc\n", 3)
    with pytest.raises(UsageError, match=r"t.txt has 2 lines, .*v.npy has 3 vectors"):
        require_embedded(path, 3, file, b"a\nb\n", 2)
    with pytest.raises(Mismatch, match=r"v.npy was not made of .*t.txt"):
        require_embedded(path, 3, file, b"x\ny\nz\n", 3)
    other = tmp_path / "w.npy"
    write_vectors(other, rows() + 1, b"x\ny\nz\n")
    (tmp_path / "w.npy.json").write_bytes((tmp_path / "v.npy.json").read_bytes())
    with pytest.raises(Mismatch, match=r"w.npy was not made of"):
        require_embedded(other, 3, file, b"a\nb\nc\n", 3)
    (tmp_path / "v.npy.json").write_text(json.dumps([]))
    with pytest.raises(Mismatch):
        require_embedded(path, 3, file, b"a\nb\nc\n", 3)
    (tmp_path / "v.npy.json").unlink()
    with pytest.raises(UsageError, match="does not say which texts"):
        require_embedded(path, 3, file, b"a\nb\nc\n", 3)


@pytest.mark.parametrize(("array", "why"), [
    (rows()[:, :5], r"float32 \[3, 5\], not vectors \[texts, 384\]"),
    (rows()[0], r"float32 \[384\], not"),
    (rows().astype(np.int8), "int8"),
    (rows()[:0], "holds no vector"),
    (np.where(np.arange(DIMENSIONS) == 7, np.nan, rows()), "vector 1 of .* holds NaN"),
    (np.where(np.arange(3)[:, None] == 1, np.inf, rows()), "vector 2 of .* holds NaN or infinity"),
    (rows().astype(str), "holds <U"),
])
def test_what_are_no_vectors_is_refused(array, why, tmp_path):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(UsageError, match=why):
        read_vectors(tmp_path / "v.npy")


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("transformers")
    return SentenceModel()


def test_a_text_of_unknown_tokens_is_refused(model):
    with pytest.raises(UsageError, match="86% of the tokens of text 2 are unknown to the model"):
        model.tokens(["A loom.", "纺织品是由经纱和纬纱交织而成"])
    assert model.tokens(["The sign 纬 means weft in Chinese."])


def test_a_long_text_is_cut_where_the_published_model_cuts_it(model):
    text = "thread " * 300
    with pytest.warns(AccuracyWarning, match="1 of 2 texts have more than 256 tokens, up to 302"):
        assert model.tokens([text, "short"]) == [MAX_TOKENS, 3]
    assert model.batch([text])["input_ids"].shape == (1, MAX_TOKENS)
    with pytest.warns(AccuracyWarning):
        long, short = model.embed([text, "thread " * (MAX_TOKENS - 2)])
    assert np.allclose(long, short, atol=1e-6), "what follows is not read"
