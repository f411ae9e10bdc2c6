"""What is made once: whole or not at all, by one of many."""

from __future__ import annotations

import threading
import time

import pytest

from weft.once import once


def test_one_of_many_builds(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "a").write_text("half")
        time.sleep(0.2)
        (folder / "a").write_text("whole")

    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append((once(tmp_path / "x", make) / "a").read_text())
        )
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == ["whole"] * 4 and len(made) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "x.lock"]


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "a").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        once(tmp_path / "x", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x.lock"]
