"""``weft build``, ``board``, ``bitstreams``, ``run`` and ``deploy`` as a user types them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from schema_check import load_checked
from virtual_boards import ROOT, host, python_for
from weft.backend.emulator import EmulatorBackend
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft_hw.config import preset


def weft(*arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "weft", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "PYNQ_REMOTE_DEVICES"},
        timeout=200,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


NO_TOOLS = ("--toolchain", "none")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    text = weft("build", "tiny", "--board", "zcu104", "-o", str(folder), *NO_TOOLS, "--json")
    return folder, load_checked(text)


def test_build_says_what_remains(built, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # neither Vivado nor the open tools
    folder, data = built
    result = data["results"][0]
    assert result["next_step"].startswith(f"cd {folder} && vivado")
    assert result["manifest"]["kind"] == "sources"
    text = weft("build", "tiny", "--board", "kv260", "--clock", "200", "-o", str(folder / "k"))
    assert "not 200" in text and "run:" in text


@pytest.mark.parametrize(
    "arguments,word",
    [
        (("build", "tiny", "--board", "zedboard", "-o", "x"), "the boards are"),
        (("build", "tiny", "--board", "zcu104", "-o", "x", "--set", "rows"), "NAME=VALUE"),
        (("build", "tiny", "--board", "zcu104", "-o", "x", "--set", "rows=7"), "power of two"),
        (("board", "serve", "--board", "nowhere"), "the boards are"),
        (("board", "selftest", "--overlay", "none.bit"), "cannot read none.json"),
        (("bitstreams", "add", "docs"), "holds no bundle"),
        (("run", "none.weft", "--input", "x.npy"), "cannot read"),
    ],
)
def test_bad_requests_are_one_sentence(arguments, word):
    error = weft(*arguments, code=2)
    assert word in error and error.count("\n") == 1


def test_lists(built, tmp_path):
    folder, _ = built
    data = load_checked(weft("board", "list", "--json"))
    assert [b["name"] for b in data["results"]][0] == "pynq-z2"
    data = load_checked(weft("bitstreams", "list", "--folder", str(folder / "virtual"), "--json"))
    assert data["results"][0]["kind"] == "virtual"
    assert "1 overlays" in weft("bitstreams", "verify", "--folder", str(folder / "virtual"))
    assert "no bitstream yet" in weft("bitstreams", "add", str(folder), code=2)


def test_the_offline_zip_installs_without_internet(built, tmp_path):
    folder, _ = built
    config = preset("tiny")
    rng = np.random.default_rng(5)
    program = compile_graph(random_linear(GemmProblem(4, 8, 8), rng), config)
    program.save(tmp_path / "p.weft")
    bit = next((folder / "virtual").glob("*.bit"))
    target = tmp_path / "board.zip"
    arguments = ("board", "bundle", str(tmp_path / "p.weft"), "--overlay", str(bit))
    weft(*arguments, "-o", str(target))
    with zipfile.ZipFile(target) as archive:
        archive.extractall(tmp_path / "board")
    wheel = next((tmp_path / "board").glob("*.whl"))
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target"]
    subprocess.run([*pip, str(site), str(wheel)], check=True, capture_output=True)
    code = "import weft, weft.backend.pynq.backend; print(weft.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(site))
    weft("build", "tiny-wide", "--board", "pynq-z2", "-o", str(tmp_path / "o"), *NO_TOOLS)
    other = next((tmp_path / "o" / "virtual").glob("*.bit"))
    assert "config" in weft(*arguments[:4], str(other), "-o", str(target), code=5)


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_serve_selftest_deploy_and_run(built, tmp_path):
    python_for("zcu104")
    folder, _ = built
    address = host(9)
    command = [sys.executable, "-m", "weft", "board", "serve", "--board", "zcu104"]
    command += ["--preset", "tiny", "--address", address, "--until-eof"]
    config = preset("tiny")
    rng = np.random.default_rng(5)
    program = compile_graph(random_linear(GemmProblem(9, 30, 17), rng), config)
    program.save(tmp_path / "p.weft")
    name, spec = next(iter(program.inputs.items()))
    a = np.random.default_rng(6).integers(-128, 128, spec.shape, np.int8)
    np.save(tmp_path / "a.npy", a)
    server = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        end = time.monotonic() + 600  # the first start builds a simulator
        while True:
            try:
                socket.create_connection((address, 7967), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end
                time.sleep(0.2)
        bit = next((folder / "virtual").glob("*.bit"))
        where = ("--overlay", str(bit), "--host", address)
        data = load_checked(weft("board", "selftest", *where, "--json"))
        assert data["results"][0]["accesses"] <= 12
        text = weft("deploy", str(tmp_path / "p.weft"), *where)
        assert "ZCU104" in text and "p.weft" in text
        arguments = ("run", str(tmp_path / "p.weft"), "--input", str(tmp_path / "a.npy"))
        results = {}
        for backend in (("--backend", "emulator"), ("--backend", "pynq", *where)):
            out = tmp_path / backend[1]
            load_checked(weft(*arguments, *backend, "-o", str(out), "--json"))
            results[backend[1]] = {p.name: np.load(p) for p in out.iterdir()}
        with EmulatorBackend(config) as emulator:
            emulator.load(program)
            for output, array in emulator.run({name: a}).items():
                for found in results.values():
                    np.testing.assert_array_equal(found[f"{output}.npy"], array)
    finally:
        server.stdin.close()
        server.wait(30)
    assert json.loads((folder / "virtual" / f"{bit.stem}.json").read_text())["kind"] == "virtual"
    assert "no board answers" in weft("deploy", str(tmp_path / "p.weft"), *where, code=6)
