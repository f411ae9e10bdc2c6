"""The testplan names tests that exist, and no test of the hardware verification is left out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_SPEC = importlib.util.spec_from_file_location("weft_testplan", ROOT / "sim" / "testplan.py")
testplan = importlib.util.module_from_spec(_SPEC)


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    import sys

    sys.modules[_SPEC.name] = testplan
    _SPEC.loader.exec_module(testplan)
    yield
    del sys.modules[_SPEC.name]


def existing(named):
    """Those of `named` that exist: ``file::function``."""
    files = {name.partition("::")[0] for name in named}
    return {t for f in files if (ROOT / f).is_file() for t in testplan.tests_in(ROOT / f)}


def test_each_named_test_exists():
    named = [test for point in testplan.load() for test in point.tests]
    assert sorted(set(named) - existing(named)) == []


def test_each_test_of_sim_belongs_to_a_testpoint():
    named = {test for point in testplan.load() for test in point.tests}
    found = {t for file in (ROOT / "sim").glob("test_*.py") for t in testplan.tests_in(file)}
    assert sorted(found - named) == []


def test_each_bench_is_used():
    text = "".join(p.read_text() for p in (ROOT / "sim").glob("test_*.py"))
    unused = [p.stem for p in (ROOT / "sim").glob("bench_*.py") if f'"{p.stem}"' not in text]
    assert unused == []


def test_a_name_that_does_not_exist_is_found():
    assert existing(["sim/test_top.py::test_nothing", "sim/test_absent.py::test_x"]) >= {
        "sim/test_top.py::test_top"
    }
    assert "sim/test_top.py::test_nothing" not in existing(["sim/test_top.py::test_nothing"])


@pytest.mark.parametrize("change, sentence", [
    ({"stage": "V4"}, r"^testpoint a-b: stage must be one of \('V1', 'V2', 'V3'\), not 'V4'$"),
    ({"tests": []}, "^testpoint a-b names no test$"),
    ({"name": "A b"}, "^testpoint 'A b': the name must be in kebab-case$"),
    ({"owner": "me"}, r"^testpoint a-b must have \['description', 'name', 'stage', 'tests'\], not"),
])  # fmt: skip
def test_a_malformed_entry_is_refused(change, sentence):
    entry = {"name": "a-b", "description": "x", "stage": "V1", "tests": ["sim/t.py::test_t"]}
    with pytest.raises(ValueError, match=sentence):
        testplan.parse({"testpoint": [{**entry, **change}]})
    with pytest.raises(ValueError, match="^testpoint a-b is defined twice$"):
        testplan.parse({"testpoint": [entry, entry]})


def test_the_table_tells_passed_from_failed_from_not_run():
    points = [
        testplan.Testpoint(name, "what it is", stage, tests)
        for name, stage, tests in (
            ("late", "V3", ("f::a",)),
            ("good", "V1", ("f::a",)),
            ("bad", "V1", ("f::a", "f::b")),
            ("absent", "V2", ("f::c",)),
            ("half", "V2", ("f::a", "f::c")),
            ("skip", "V2", ("f::d",)),
        )
    ]
    results = {"f::a": ["passed", "passed"], "f::b": ["passed", "failed"], "f::d": ["skipped"]}
    lines = testplan.table(points, results)
    assert [(line.split()[:2], bad) for line, bad in lines] == [
        (["V1", "good"], False), (["V1", "bad"], True), (["V2", "absent"], False),
        (["V2", "half"], False), (["V2", "skip"], False), (["V3", "late"], False),
    ]  # fmt: skip
    verdicts = ["passed", "FAILED", "not run", "partly run", "partly run", "passed"]
    for (line, _), verdict in zip(lines, verdicts):
        assert f" {verdict} " in line
    assert "2/2" in lines[0][0] and "3/4" in lines[1][0]
