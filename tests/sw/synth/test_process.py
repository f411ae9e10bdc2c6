"""One run of a tool: what it wrote before is gone, what it lacks is said, first starts queue up."""

from __future__ import annotations

import sys
import tempfile
import threading

import pytest

from weft.errors import DeviceError
from weft.synth.process import packaged, run_tool, version_of


def python(code: str) -> tuple[str, ...]:
    """A tool that runs `code`, and is no package's."""
    return sys.executable, "-B", "-c", code


def test_a_result_of_an_earlier_run_does_not_count(tmp_path):
    (tmp_path / "cells.json").write_text("old")
    with pytest.raises(DeviceError, match="^mapper failed: it wrote no cells.json; see .*map.log$"):
        run_tool(python(""), tmp_path, "map.log", name="mapper", results=("cells.json",))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('ERROR: on the console'); print('and more'); exit(1)", "ERROR: on the console"),
        ("open('t.log', 'w').write('ERROR: in its log\\n'); exit(1)", "ERROR: in its log"),
        ("print('only this'); exit(1)", "only this"),
        ("exit(3)", "it ended with status 3"),
    ],
)
def test_the_last_error_is_in_the_sentence(tmp_path, code, said):
    (tmp_path / "t.log").write_text("ERROR: of an earlier run\n")
    with pytest.raises(DeviceError, match=f"^tool failed: {said}; see {tmp_path / 't.log'}$"):
        run_tool(python(code), tmp_path, "t.log", name="tool")
    assert (tmp_path / "t.log").exists()


def test_standard_output_can_be_the_result(tmp_path):
    code = "import sys; print('result'); print('note', file=sys.stderr)"
    run_tool(python(code), tmp_path, "t.log", output="out.txt")
    assert (tmp_path / "out.txt").read_text() == "result\n"
    assert (tmp_path / "t.log").read_text() == "note\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A tool that is a package; it notes when it starts and ends."""
    (tmp_path / "some_tool.py").write_text(
        "import sys, time\n"
        "def run(words):\n"
        "    with open('starts', 'a') as file:\n"
        "        print('start', *words, file=file, flush=True)\n"
        "        time.sleep(0.3)\n"
        "        print('end', *words, file=file, flush=True)\n"
        "    print('Tool 1.2')\n"
        "    open('result', 'w').close()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    version_of.cache_clear()
    yield packaged("some_tool", "run")
    version_of.cache_clear()


def test_a_packaged_tool_starts_before_it_works(package, tmp_path):
    """Its first start is one of its own, and comes once."""
    for _ in range(2):
        run_tool((*package, "work"), tmp_path, "t.log", name="tool", results=("result",))
    lines = (tmp_path / "starts").read_text().splitlines()
    assert lines == ["start --version", "end --version", *["start work", "end work"] * 2]
    assert version_of(package) == "Tool 1.2"


def test_first_starts_come_one_after_the_other(package, tmp_path):
    threads = [threading.Thread(target=version_of, args=(package,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "starts").read_text().splitlines()
    assert lines == ["start --version", "end --version"] * (len(lines) // 2) and len(lines) > 2
