"""Synthesis stands alone: bundles are made with it, it knows none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import weft

HOME = Path(weft.__file__).parent


def imported(text: str, package: str) -> set[str]:
    """Modules that a module of `package` imports anywhere, in its functions, too."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def folders(folder: str) -> set[str]:
    """Folders of weft that the modules of `folder` import."""
    found: set[str] = set()
    for path in (HOME / folder).rglob("*.py"):
        package = ".".join(["weft", *path.parent.relative_to(HOME).parts])
        names = imported(path.read_text(encoding="utf-8"), package)
        found |= {n.split(".")[1] for n in names if n.startswith("weft.")}
    return {name for name in found - {folder} if (HOME / name).is_dir()}


@pytest.mark.parametrize(
    "text",
    [
        "import weft.bundle.reports",
        "from weft import bundle",
        "from ..bundle import reports",
        "from .. import bundle",
        "def f():\n    from weft.bundle import Manifest",
    ],
)
def test_an_import_is_seen_wherever_it_stands(text):
    assert any(name.startswith("weft.bundle") for name in imported(text, "weft.synth"))


def test_synthesis_imports_no_bundle():
    """So the two folders have no circle; what synthesis imports has none with it, either."""
    assert "synth" in folders("bundle")
    below = folders("synth")
    while below != (more := below.union(*map(folders, below))):
        below = more
    assert not below & {"synth", "bundle"}
