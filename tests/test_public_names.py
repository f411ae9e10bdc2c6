"""Every name of an ``__all__`` exists, is sorted, and has a docstring where it can have one."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Modules that are imported in the environments of pynq only; here their text is read.
PYNQ_ONLY = ("weft.virtual.server", "weft.backend.pynq.ip")
PACKAGES = (ROOT / "hw" / "weft_hw", ROOT / "sw" / "weft")


def modules() -> list[str]:
    found = []
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            if parts[-1] == "__main__":
                continue
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def check_text(name):
    """The same of a module that cannot be imported here."""
    (path,) = (p for p in (package.parent / f"{name.replace('.', '/')}.py" for package in PACKAGES)
               if p.is_file())
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name} has no docstring"
    defined = {n.name: n for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    )
    for public in listed:
        if public in defined:
            assert ast.get_docstring(defined[public]), f"{name}.{public} has no docstring"
        else:
            assert f"{public} =" in path.read_text(encoding="utf-8"), f"{name}.{public} is missing"


@pytest.mark.parametrize("name", modules())
def test_public_names(name):
    if name in PYNQ_ONLY and importlib.util.find_spec("pynq") is None:
        check_text(name)
        return
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    for public in names:
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), f"{name}.{public} has no docstring"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_no_star_imports(package):
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert all(alias.name != "*" for alias in node.names), f"{path}:{node.lineno}"
