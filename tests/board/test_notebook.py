"""The notebook, executed as a user would: nbclient and a kernel in pynq's environment."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.sim, pytest.mark.slow]

EXECUTE = """
import os, sys
import nbformat
from nbclient import NotebookClient

os.environ["WEFT_BOARD"], os.environ["WEFT_OVERLAY"] = sys.argv[1:3]
notebook = nbformat.read("sw/weft/notebooks/product.ipynb", as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""), end="")
"""


def test_every_cell_runs(served):
    done = served.run(EXECUTE)
    assert done.returncode == 0, done.stderr + served.log.read_text()
    lines = done.stdout.splitlines()
    assert lines[-1] == "equal"
    assert any(line.endswith("us on the accelerator") for line in lines), done.stdout
