"""``weft deploy --transport ssh`` against a stand-in for ssh and scp whose board is a folder."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schema_check import load_checked
from virtual_boards import CORES, ROOT
from weft.bundle import Overlay
from weft.bundle.build import write_virtual
from weft.cli import main
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.deploy.ssh import Ssh, answering
from weft.errors import DeviceError, UsageError
from weft_hw.boards import pynq_board


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    """The folder that is the board; its programs come before the system's."""
    root = tmp_path / "board"
    for folder in (root / "bin", tmp_path / "here"):
        folder.mkdir(parents=True)
    for folder, names in ((root / "bin", "sudo id python3"), (tmp_path / "here", "ssh scp")):
        for name in names.split():
            path = folder / name
            text = (ROOT / "tests" / "support" / "ssh_stand_in.py").read_text()
            path.write_text(text.replace("/usr/bin/env python3", sys.executable, 1))
            path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'here'}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_ROOT", str(root))
    monkeypatch.setenv("STAND_IN_BOARD", "ZCU104")
    for name in ("STAND_IN_FAULT", "STAND_IN_UID", "STAND_IN_HOST", "WEFT_BOARD_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """A program and an overlay that fit each other."""
    config = CORES["zcu104"]
    manifest = write_virtual(Overlay(config, pynq_board("zcu104"), 100), tmp_path)
    rng = np.random.default_rng(5)
    program = compile_graph(random_linear(GemmProblem(9, 30, 17), rng), config)
    program.save(tmp_path / "p.weft")
    return tmp_path / "p.weft", manifest.bitstream(tmp_path)


def deploy(capfd, program: Path, overlay: Path, *more: str, code: int = 0) -> str:
    """What the command printed."""
    arguments = ["deploy", str(program), "--host", "192.0.2.7", "--transport", "ssh"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--overlay", str(overlay), *more])
    found = capfd.readouterr()
    assert ended.value.code == code, found.out + found.err
    if code:
        assert found.err.count("\n") == 1, found.err
        return found.err
    return found.out


def calls(there: Path) -> list[list[str]]:
    path = there / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.sim
@pytest.mark.slow
def test_deploy_checks_the_board_uploads_once_and_runs_there(
    there, files, zcu104, capfd, monkeypatch
):
    monkeypatch.setenv("STAND_IN_HOST", zcu104.host)
    monkeypatch.setenv("STAND_IN_PYTHON", zcu104.python)
    monkeypatch.setenv("no_proxy", "*")
    first = load_checked(deploy(capfd, *files, "--json"))["results"]
    assert [r["what"] for r in first][1].startswith("p_")
    assert all(r["transport"] == "ssh" and r["board"] == "ZCU104" for r in first)
    assert all(r["label"] == "simulated" and 0 < r["accesses"] <= 12 for r in first)
    assert first[0]["uploaded_bytes"] > 100_000
    stored = {p.name for p in (there / "weft").iterdir()}
    assert Path(first[0]["stored"]).name in stored and len(stored) == 6
    assert not any(name.endswith(".part") for name in stored)
    again = deploy(capfd, *files)
    assert len([c for c in calls(there) if c[0] == "scp"]) == 1
    # The command that it prints runs the program there.
    command = shlex.split(again.splitlines()[-1].strip())
    assert command[:4] == ["ssh", "-t", "xilinx@192.0.2.7", "bash"]
    a = np.random.default_rng(6).integers(-128, 128, (9, 30), np.int8)
    np.save(there / "weft" / "X.npy", a)
    environment = {
        **os.environ,
        "PATH": f"{there / 'bin'}:{os.environ['PATH']}",
        "PYNQ_REMOTE_DEVICES": zcu104.host,
    }
    done = subprocess.run(command[3:], cwd="/", capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["cycles"] > 0
    assert np.load(there / "weft" / answer["outputs"][0]).shape == (9, 17)
    # What ran came out of the archive, not out of an installed weft.
    archive = next((there / "weft").glob("weft_*.zip"))
    done = subprocess.run(
        [zcu104.python, "-c", "import weft.deploy.onboard as o; print(o.__file__)"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(archive)},
    )
    assert done.stdout.startswith(str(archive))


@pytest.mark.parametrize("fault", ["cut", "full", "changed"])
def test_an_interrupted_upload_leaves_nothing_that_would_be_loaded(
    there, files, capfd, monkeypatch, fault
):
    word = {"cut": "broke off", "full": "disk", "changed": "arrived changed"}[fault]
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    error = deploy(capfd, *files, code=6)
    assert word in error and "deploy again" in error
    kept = sorted((there / "weft").iterdir())
    assert all(p.name.endswith(".part") for p in kept if p.name.startswith("weft_zcu104"))
    assert fault != "cut" or any(p.stat().st_size for p in kept)
    # The next one is whole. There is no pynq here, so it ends at the board's Python.
    monkeypatch.setenv("STAND_IN_FAULT", "")
    monkeypatch.setenv("STAND_IN_PYTHON", "/bin/false")
    assert "Weft on 192.0.2.7 ended with 1" in deploy(capfd, *files, code=6)
    names = [p.name for p in (there / "weft").iterdir()]
    assert len(names) == 6 and not any(n.endswith(".part") for n in names)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("refused", "check its address, power and network"),
        ("denied", "ssh-copy-id xilinx@192.0.2.7"),
        ("key", "log in once by hand"),
    ],
)
def test_a_board_that_lets_nobody_in(there, files, capfd, monkeypatch, fault, word):
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    assert word in deploy(capfd, *files, code=6)
    assert not (there / "weft").exists()


def test_another_board_is_refused_before_anything_is_sent(there, files, capfd, monkeypatch):
    monkeypatch.setenv("STAND_IN_BOARD", "Pynq-Z1")
    error = deploy(capfd, *files, code=5)
    assert "zcu104" in error and "Pynq-Z1" in error
    error = deploy(capfd, *files, "--board", "kv260", code=5)
    assert "kv260" in error and "Pynq-Z1" in error
    monkeypatch.setenv("STAND_IN_BOARD", "")
    assert "say what it is with --board" in deploy(capfd, *files, code=2)
    assert not [c for c in calls(there) if c[0] == "scp"]


def test_no_root_no_board(there, files, capfd, monkeypatch):
    monkeypatch.setenv("STAND_IN_UID", "1000")
    monkeypatch.setenv("STAND_IN_FAULT", "sudo")
    error = deploy(capfd, *files, code=6)
    assert "may not become root" in error and "WEFT_BOARD_PASSWORD" in error
    monkeypatch.setenv("WEFT_BOARD_PASSWORD", "xilinx")
    monkeypatch.setenv("STAND_IN_PYTHON", "/bin/false")
    assert "Weft on 192.0.2.7 ended with 1" in deploy(capfd, *files, code=6)
    assert not [c for c in calls(there) if "xilinx" in c]


def test_what_the_board_refuses_keeps_its_exit_code(there, files, capfd, monkeypatch, tmp_path):
    fake = tmp_path / "python"
    fake.write_text(
        "#!/bin/sh\necho noise\n"
        """echo '{"message": "the program is for another", "remedy": "x", "code": "mismatch"}'\n"""
        "exit 5\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("STAND_IN_PYTHON", str(fake))
    assert "the program is for another; x" in deploy(capfd, *files, code=5)


def test_a_full_disk_and_little_memory_are_said_before_the_upload(
    there, files, capfd, monkeypatch, tmp_path
):
    for name, text in (("df", "F 1 1 3 1% /"), ("grep", "CmaTotal:              4 kB")):
        path = there / "bin" / name
        path.write_text(f"#!/bin/sh\necho head\necho '{text}'\n")
        path.chmod(0o755)
    error = deploy(capfd, *files, code=4)
    assert "0.0 MiB" in error and "cma=" in error
    (there / "bin" / "grep").unlink()
    assert "has 3 KiB left" in deploy(capfd, *files, code=6)
    assert not [c for c in calls(there) if c[0] == "scp"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--host", "-oProxyCommand=id"),
        ("--host", "board;reboot"),
        ("--host", "a b"),
        ("--host", "$(id)"),
        ("--host", "xilinx@board"),
        ("--host", ""),
        ("--user", "-lroot"),
        ("--user", "a;b"),
        ("--user", "root@x"),
        ("--ssh-port", "0"),
        ("--transport", "telnet"),
    ],
)
def test_nothing_of_the_command_line_reaches_a_shell(there, files, capfd, option, value):
    deploy(capfd, *files, option, value, code=2)
    assert not calls(there)


def test_words_arrive_as_words(there):
    words = ["a b", "$(id)", "'", '"', "; exit 3", "*"]
    done = Ssh("board", "xilinx", 2222).run(["printf", "%s\\n", *words])
    assert done.stdout.splitlines() == words
    assert calls(there)[0][1:7] == ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-p", "2222"]
    with pytest.raises(UsageError, match="misread"):
        Ssh("board", "xilinx").upload([], "/home/$(id)")


def test_old_parts_are_swept_away_and_a_silent_board_is_one_sentence(there, files, capfd):
    (there / "weft").mkdir()
    old = there / "weft" / "x.bit.part"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    # Weft does not start there, whatever sudo and Python this machine has.
    (there / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    assert "ended with" in deploy(capfd, *files, code=6)
    assert not old.exists()
    (there / "bin" / "df").write_text("#!/bin/sh\nexit 1\n")
    (there / "bin" / "df").chmod(0o755)
    assert "does not answer as a board does" in deploy(capfd, *files, code=6)


def test_auto_takes_what_answers():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answering("127.0.0.1", port, 1) == "remote"
        assert answering("127.0.0.1", 1, port) == "ssh"
    with pytest.raises(DeviceError, match="neither PYNQ.remote on port 1 nor ssh on 2"):
        answering("127.0.0.1", 1, 2)
