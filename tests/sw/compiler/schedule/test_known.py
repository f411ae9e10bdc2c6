"""A tiling that was chosen before is taken again, and only where it is one of the candidates."""

import dataclasses
import json

import pytest

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.lower.choose import scheduled
from weft.compiler.schedule import known, search
from weft.dram import memory_of
from weft_hw.config import preset

CONFIG = preset("tiny")
MEMORY = memory_of(CONFIG)
PROBLEM = GemmProblem(40, 48, 56)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    scheduled.cache_clear()
    yield
    scheduled.cache_clear()


def kept_file(tmp_path):
    (path,) = tmp_path.glob("tilings/*/*.json")
    return path


def counting(monkeypatch):
    calls = []
    place = search.place_layers
    monkeypatch.setattr(search, "place_layers", lambda *a: calls.append(a) or place(*a))
    return calls


def test_the_second_search_is_none(monkeypatch, tmp_path):
    first = scheduled(CONFIG, PROBLEM, MEMORY)
    tiling = first.plan.layers[0].tiling
    assert json.loads(kept_file(tmp_path).read_text()) == dataclasses.asdict(tiling)
    scheduled.cache_clear()
    calls = counting(monkeypatch)
    again = scheduled(CONFIG, PROBLEM, MEMORY)
    assert len(calls) == 1 and again.instructions == first.instructions


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"block_rows": 0}', "null"])
def test_a_file_that_says_something_else_is_searched_again(monkeypatch, tmp_path, text):
    first = scheduled(CONFIG, PROBLEM, MEMORY)
    kept_file(tmp_path).write_text(text)
    scheduled.cache_clear()
    calls = counting(monkeypatch)
    assert scheduled(CONFIG, PROBLEM, MEMORY).instructions == first.instructions
    assert len(calls) > 1
    found = known.find(CONFIG, PROBLEM, MEMORY)
    assert found == dataclasses.asdict(first.plan.layers[0].tiling)


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "tilings").write_text("a file")
    assert scheduled(CONFIG, PROBLEM, MEMORY).instructions


def test_problems_and_platforms_have_files_of_their_own():
    scheduled(CONFIG, PROBLEM, MEMORY)
    assert known.find(CONFIG, GemmProblem(40, 48, 57), MEMORY) is None
    assert known.find(preset("pynq-z2"), PROBLEM, memory_of(preset("pynq-z2"))) is None
