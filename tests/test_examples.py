"""The examples run."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_gemm(capsys):
    pytest.importorskip("torch")
    runpy.run_path(str(EXAMPLES / "gemm.py"))["main"]()
    assert "100 elements equal to torch-int" in capsys.readouterr().out
