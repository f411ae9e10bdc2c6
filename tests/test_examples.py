"""The examples run."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_gemm(capsys):
    pytest.importorskip("torch")
    runpy.run_path(str(EXAMPLES / "gemm.py"))["main"]()
    assert "100 elements equal to torch-int" in capsys.readouterr().out


def test_chain(capsys):
    pytest.importorskip("torch")
    runpy.run_path(str(EXAMPLES / "chain.py"))["main"]()
    assert "4 layers" in (out := capsys.readouterr().out)
    assert "three runs equal to torch-int" in out


def test_digits(capsys, tmp_path, monkeypatch):
    """As many right answers on held-out images as in float, within half a point."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr("sys.argv", ["digits.py", str(tmp_path / "digits.weft")])
    main = runpy.run_path(str(EXAMPLES / "digits.py"))["main"]
    main()
    out = capsys.readouterr().out
    assert "899 held-out images" in out and (tmp_path / "digits.weft").exists()
