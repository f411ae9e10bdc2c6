"""A whole network on the simulated board, through the real pynq client: from torch to an answer."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from virtual_boards import CORES, ROOT
from weft.backend.pynq.load import PORT

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model_file(served, tmp_path_factory):
    """(file of a compiled network, inputs, what torch-int gives)"""
    from weft.models.builtin import builtin
    from weft.runtime.compile import compile_model

    entry = builtin("digits")
    x = entry.examples(4, seed=1)
    compiled = compile_model(entry.make(), x, platform=CORES[served.board], host_torch=False)
    with compiled.open("torch-int") as reference:
        want = reference(x[:2])
    path = tmp_path_factory.mktemp("model") / "digits.weft"
    compiled.save(path)
    return path, x[:2].numpy(), want.numpy()


def test_a_network_with_one_doorbell(served, model_file, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    import weft

    path, x, want = model_file
    where = (served.bitstream, served.host, PORT)
    model = weft.load(path)
    with model.open("pynq", board=where) as board:
        got = board(x)
        assert len(board.runs) == len(model.programs) == 1 and board.cycles > 0
    np.testing.assert_array_equal(got, want)


def test_the_command(served, model_file, tmp_path):
    path, x, want = model_file
    np.save(tmp_path / "x.npy", x)
    command = (
        "run", str(path), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npy"),
        "--backend", "pynq", "--host", served.host, "--overlay", str(served.bitstream),
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "weft", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "no_proxy": "*"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].endswith(" cycles")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)
