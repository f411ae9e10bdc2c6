"""Names and JSON from outside: what is taken, what is refused, each with its sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Annotated

import pytest

from weft.files.untrusted import (
    MAX_DEPTH,
    check_name,
    conform,
    inside,
    is_label,
    is_name,
    parse_json,
    safe_name,
)
from weft.results import Rule

BAD_NAMES = ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "-rf", "a b", "a\nb",
             "a\0b", "a;b", "$(id)", "é", "x" * 129, "a\u2028b", "‮a", None, 3, ["a"], b"a"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_what_may_not_name_a_file(name):
    assert not is_name(name)
    with pytest.raises(ValueError, match="an output must be a name of 1 to 128 letters"):
        check_name("an output", name)
    assert is_name(safe_name(str(name)))


@pytest.mark.parametrize("name", ["a", "out", "_x", "encoder.layer.0.out", "A-1.npy", "x" * 128])
def test_what_may(name):
    assert is_name(name) and check_name("it", name) == name
    assert safe_name(name) == name[:80]


def test_labels_are_printable():
    assert is_label("") and is_label("conv/1 (3x3)") and is_label("é")
    assert not any(map(is_label, ("a\nb", "\x1b[31m", "x" * 257, None)))


def test_paths_stay_in_their_folder(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_text("s")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "alias").symlink_to("file")
    (folder / "file").write_text("f")
    assert inside(folder, "file").read_text() == inside(folder, "alias").read_text() == "f"
    with pytest.raises(ValueError, match="is a link out of its folder"):
        inside(folder, "link")
    for name in ("../secret", str(tmp_path / "secret"), ""):
        with pytest.raises(ValueError, match="must be a name"):
            inside(folder, name)
    (tmp_path / "alias").symlink_to(folder)
    assert inside(tmp_path / "alias", "file").read_text() == "f", "the folder may be a link itself"


@pytest.mark.parametrize(("text", "why"), [
    ('{"a": NaN}', "NaN is no number"),
    ('{"a": -Infinity}', "-Infinity is no number"),
    ('{"a": 1e999}', "beyond the largest float"),
    ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
    ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
    ('{"a":' * 5_000 + "1" + "}" * 5_000, "nested more than"),
    (b'{"a": "\xff"}', "utf-8"),
    ("{", "Expecting"),
    ("", "Expecting"),
    ("1" * 10_000, "integer string conversion|^$"),
    ('"' + "x" * 100, "Unterminated"),
])
def test_json_that_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_json(text)


def test_json_as_it_should_be():
    value = {"a": [1, 2.5, None, True, "[[[[ \\\" {"], "b": {"c": {}}}
    assert parse_json(json.dumps(value)) == value == parse_json(json.dumps(value).encode())
    assert parse_json('"' + "[" * 1000 + '"') == "[" * 1000, "brackets in text nest nothing"
    with pytest.raises(ValueError, match="it has 12 bytes, at most 10 are read"):
        parse_json('"0123456789"', limit=10)


def test_json_takes_no_longer_than_it_is_long():
    started = time.process_time()
    for text in ('"' + "\\" * 1_000_000, '"' * 999_999, "\\" * 1_000_000):
        with pytest.raises(ValueError, match=r"."):
            parse_json(text)
    assert time.process_time() - started < 30, "quadratic at least"


@pytest.mark.parametrize(("kind", "good", "bad"), [
    (int, [0, -3], [True, 1.0, "1", None, [1]]),
    (float, [0, 1.5], [True, "1", None, 1e301]),
    (str, ["", "a"], [1, None, b"a"]),
    (bool, [True], [1, 0]),
    (Annotated[int, Rule(minimum=1, maximum=4)], [1, 4], [0, 5, "3"]),
    (Annotated[float, Rule(exclusiveMinimum=0)], [0.1], [0, -1]),
    (Annotated[str, Rule(pattern="^[ab]+$")], ["ab"], ["abc", "a\n", 3]),
    (Annotated[str, Rule(enum=["x", "y"])], ["x"], ["z", []]),
    (Mapping[str, int], [{}, {"a": 1}], [{"a": "1"}, [], None]),
    (Mapping[Annotated[str, Rule(enum=["a"])], float], [{"a": 1}], [{"b": 1}]),
    (list[int], [[], [1]], [["1"], {}, (1,)]),
    (int | None, [1, None], ["1"]),
])
def test_types_of_result_classes(kind, good, bad):
    for value in good:
        conform(value, kind, "it")
    for value in bad:
        with pytest.raises(ValueError, match="^(a key of )?it"):
            conform(value, kind, "it")
