"""The cache: where it is, what is in it, how it goes while others use it."""

import subprocess
import sys

import pytest

from weft.errors import UsageError
from weft.files import cache
from weft.files.once import once
from weft.files.private import locked


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    return tmp_path


def test_where_it_is(monkeypatch, tmp_path):
    assert cache.cache_dir() == tmp_path
    monkeypatch.delenv("WEFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache.cache_dir() == tmp_path / "x" / "weft"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache.cache_dir().parts[-2:] == (".cache", "weft")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_dir().parts[-2:] == (".cache", "weft")


def test_what_is_in_it(tmp_path):
    assert cache.kept() == []
    once(tmp_path / "rtl" / "a", lambda p: (p / "f").write_bytes(bytes(1000)))
    once(tmp_path / "tilings" / "b", lambda p: (p / "f").write_bytes(b"x"))
    assert [(k.kind, k.name) for k in cache.kept()] == [("rtl", "a"), ("tilings", "b")]
    assert cache.kept()[0].bytes >= 1000
    removed, busy = cache.clear(["tilings"])
    assert [k.name for k in removed] == ["b"] and not busy
    assert [k.name for k in cache.kept()] == ["a"]


def test_what_another_process_makes_stays(tmp_path):
    once(tmp_path / "rtl" / "a", lambda p: (p / "f").write_bytes(b"x"))
    with locked(tmp_path / "rtl" / "a.lock"):
        removed, busy = cache.clear()
    assert not removed and [k.name for k in busy] == ["a"]
    assert [k.name for k in cache.clear()[0]] == ["a"] and not cache.kept()


def test_two_processes_clear_and_fill(tmp_path):
    """One makes entries while another clears: both end well, and what is there is whole."""
    fill = (
        "from pathlib import Path\n"
        "from weft.files.once import once\n"
        f"for i in range(150): once(Path({str(tmp_path)!r}) / 'rtl' / str(i % 7),"
        " lambda p: (p / 'f').write_bytes(b'x'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", fill], stderr=subprocess.PIPE) as child:
        while child.poll() is None:
            cache.clear()
        assert child.stderr is not None
        assert child.returncode == 0, child.stderr.read()


def test_an_unknown_kind():
    with pytest.raises(UsageError, match="the cache has no 'x'; it has rtl, verilog, tilings"):
        cache.clear(["x"])
