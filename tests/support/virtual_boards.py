"""Environments with the real pynq, and virtual boards that it talks to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from weft.backend.pynq.frames import FramedProcess, python_with_pynq
from weft.backend.rtl import build
from weft.bundle import Overlay
from weft.bundle.build import write_virtual
from weft.errors import ToolMissing
from weft_hw.boards import pynq_board
from weft_hw.config import PRESETS, AcceleratorConfig

ROOT = Path(__file__).resolve().parents[2]
#: The AXI4 core and the AXI3 core that the tests run on: small ones, whose simulators are quick.
CORES = {
    "zcu104": PRESETS["tiny"],
    "pynq-z2": PRESETS["tiny-wide"],
}


def python_for(board: str) -> str:
    try:
        return python_with_pynq(pynq_board(board).pynq.package)
    except ToolMissing as error:
        pytest.skip(str(error))


@dataclass
class Served:
    """A virtual board, and how to reach it."""

    board: str
    host: str
    python: str
    bitstream: Path
    log: Path
    process: FramedProcess

    def run(self, script: str, *arguments: str, timeout: int = 200) -> subprocess.CompletedProcess:
        """Run a Python text under pynq; HOST and BIT are its first two arguments."""
        command = [self.python, "-c", script, self.host, str(self.bitstream), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment(), cwd=ROOT
        )


def environment() -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / name) for name in ("hw", "sw", "tests"))
    env = {k: v for k, v in os.environ.items() if k not in ("http_proxy", "PYNQ_REMOTE_DEVICES")}
    return {**env, "PYTHONPATH": path, "no_proxy": "*"}


@contextmanager
def serve(
    board: str, host: str, folder: Path, config: AcceleratorConfig, cma: int | None = None,
    stall_s: float = 30,
) -> Iterator[Served]:
    python = python_for(board)
    overlay = Overlay(config, pynq_board(board), 100)
    manifest = write_virtual(overlay, folder)
    log = folder / f"{host}.log"
    libraries = {config.hash: str(build.library(config))}
    with log.open("w") as output, FramedProcess(python, "weft.virtual.server", output) as process:
        process.ask(
            "serve", board=board, address=f"{host}:7967", libraries=libraries, cma=cma,
            stall_s=stall_s,
        )
        yield Served(board, host, python, manifest.bitstream(folder), log, process)


def host(last: int) -> str:
    """A loopback address of this test process and no other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"127.{100 + int(worker)}.{os.getpid() % 250 + 1}.{last}"


HEAD = "import sys; sys.path.insert(0, 'tests/support'); from board_script import *\n"


def passes(served: Served, body: str, *arguments: str) -> str:
    """Run a client script, whose assertions hold; what it printed."""
    done = served.run(HEAD + body, *arguments)
    assert done.returncode == 0, done.stderr + served.log.read_text()
    return done.stdout


@contextmanager
def client(served: Served, body: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """A client script that has printed "ready"; it goes on when its input ends."""
    process = subprocess.Popen(
        [served.python, "-c", HEAD + body, served.host, str(served.bitstream), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    try:
        line = process.stdout.readline()
        assert line == "ready\n", line + process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()
