"""The benchmark of the host's parts still runs; how long they take is for people to judge."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_a_row_for_each_stage(capsys):
    spec = importlib.util.spec_from_file_location("benchmark", ROOT / "scripts" / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(32)
    head, *rows = capsys.readouterr().out.splitlines()
    assert "K=64, ms" in head
    assert [row.split()[0] for row in rows] == ["compile", "verify", "predict", "emulate", "numpy"]
