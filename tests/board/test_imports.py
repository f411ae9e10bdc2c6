"""What may import what around boards; imports inside functions, and for types, count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtual_boards import ROOT

WEFT = ROOT / "sw" / "weft"
#: A backend finds overlays and reads their manifests; the reference runs graphs.
ALLOWED = ("weft.bundle.manifest", "weft.bundle.store")
ALSO = {"backend/reference.py": ("weft.compiler.graph",)}
#: Folder -> folders that nothing in it imports.
RULES = {
    "backend": ("bundle", "cli", "compiler", "deploy", "measure", "runtime", "synth", "virtual"),
    "driver": ("backend", "bundle", "cli", "compiler", "deploy", "measure", "synth", "virtual"),
    "virtual": ("cli", "compiler", "deploy", "measure", "runtime", "synth"),
    "deploy": ("cli", "runtime", "synth", "virtual"),
}


def imported(text: str, package: str) -> Iterator[str]:
    """Absolute names of the modules that `text`, in a package, imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            # `from weft import synth` names a module, too.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_what_counts_as_an_import():
    text = "import a.b\nfrom . import c\ndef f():\n    from ..d import e\n    from weft import g\n"
    found = {"a.b", "weft.x.y.c", "weft.x.d.e", "weft.g"}
    assert set(imported(text, "weft.x.y")) == found


@pytest.mark.parametrize("folder", RULES)
def test_a_folder_imports_nothing_above_it(folder):
    for path in sorted((WEFT / folder).rglob("*.py")):
        package = ".".join(["weft", *path.relative_to(WEFT).parent.parts])
        for name in imported(Path(path).read_text(encoding="utf-8"), package):
            above = name.split(".")[:2] in [["weft", other] for other in RULES[folder]]
            allowed = ALLOWED + ALSO.get(path.relative_to(WEFT).as_posix(), ())
            assert not above or name.startswith(allowed), f"{path}: {name}"
