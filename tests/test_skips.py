"""A skip that nobody allowed fails in continuous integration; every skip is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("ci", "allowed", "code"), [("false", "", 0), ("true", "", 1), ("true", "test_a.py::*", 0)]
)
def test_policy(tmp_path, ci, allowed, code):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "allowed_skips.txt").write_text(f"# why\n{allowed}  # reason\n")
    (tmp_path / "test_a.py").write_text(
        "import pytest\ndef test_x(): pytest.skip('no board')\ndef test_y(): pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "CI": ci},
    )
    assert done.returncode == code, done.stdout
    assert "test_a.py::test_x: no board" in done.stdout
    assert ("are not listed in tests/allowed_skips.txt" in done.stdout) == (code == 1)
