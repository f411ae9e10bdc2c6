"""The house: what lies in which room, and who may import whom. Imports inside functions count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SW = ROOT / "sw" / "weft"
#: Names at the root of the package: rooms, and the few things that all rooms share.
MOST_NAMES = 26
#: Only these read what the next column says; everything is a prefix of a module's name.
NEVER: dict[str, tuple[str, ...]] = {
    # Data flow: frontend -> graph -> quantise -> schedule -> lower -> program -> verify -> backend.
    "weft.compiler": ("weft.backend", "weft.driver", "weft.runtime", "weft.models"),
    "weft.compiler.graph": ("weft.compiler.quantise", "weft.compiler.schedule",
                            "weft.compiler.lower", "weft.compiler.frontend", "weft.program"),
    "weft.compiler.cost": ("weft.compiler.schedule", "weft.compiler.lower", "weft.compiler.graph"),
    "weft.compiler.schedule": ("weft.compiler.lower", "weft.compiler.frontend",
                               "weft.compiler.quantise"),
    "weft.compiler.quantise": ("weft.compiler.lower", "weft.compiler.schedule", "weft.program"),
    "weft.compiler.frontend": ("weft.compiler.lower", "weft.compiler.schedule", "weft.program",
                               "weft.compiler.quantise"),
    "weft.host": ("weft.compiler", "weft.backend", "weft.program"),
    "weft.artefact": ("weft.compiler", "weft.backend", "weft.driver"),
    # What runs on a board needs neither torch nor Amaranth nor the compiler.
    "weft.program": ("weft.compiler", "weft.backend", "weft.verify", "weft.driver"),
    "weft.verify": ("weft.compiler", "weft.backend", "weft.driver"),
    "weft.driver": ("weft.compiler", "weft.backend"),
    "weft.backend.base": ("weft.compiler",),
    "weft.backend.emulator": ("weft.compiler", "weft.backend.rtl", "weft.backend.pynq"),
    "weft.backend.rtl": ("weft.compiler", "weft.backend.emulator", "weft.backend.pynq"),
    "weft.backend.pynq": ("weft.compiler", "weft.backend.rtl"),
    "weft.backend": ("weft.runtime", "weft.models", "weft.virtual", "weft.synth"),
    "weft.bundle.manifest": ("weft.compiler", "weft.synth"),
    "weft.bundle.store": ("weft.compiler", "weft.synth"),
    "weft.synth": ("weft.bundle", "weft.compiler", "weft.backend"),
    "weft.runtime": ("weft.models",),
    "weft.errors": ("weft.",),
}
#: The upper floors: nothing below imports them.
UPPER = ("weft.cli", "weft.deploy", "weft.measure", "weft.schemas", "weft.service")
#: Packages that the rooms named here never import.
FOREIGN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("weft.program", "weft.verify", "weft.driver", "weft.artefact", "weft.host.operators",
         "weft.host.integers", "weft.host.run", "weft.runtime.compiled", "weft.backend.base",
         "weft.backend.emulator", "weft.backend.pynq", "weft.bundle.manifest", "weft.bundle.store"),
        ("torch", "amaranth", "transformers"),
    ),
    "weft.compiler.graph.graph": ("torch",),
    "weft.compiler.schedule": ("torch", "amaranth"),
    "weft.compiler.cost": ("torch", "amaranth"),
    "weft.compiler.lower": ("torch", "amaranth"),
}


def _module(path: Path) -> str:
    parts = ("weft", *path.relative_to(SW).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _modules() -> dict[str, Path]:
    return {_module(path): path for path in sorted(SW.rglob("*.py"))}


def _imported(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of everything that a file imports, of weft and of others."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([base] if base else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield (whole if whole in _modules() else base), node.lineno


@cache
def _imports() -> dict[str, tuple[tuple[str, int], ...]]:
    return {name: tuple(_imported(name, path)) for name, path in _modules().items()}


def _within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix if prefix.endswith(".") else f"{prefix}.")


def _breaches(room: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{_modules()[name].relative_to(ROOT)}:{line} imports {imported}"
        for name, imports in _imports().items()
        if _within(name, room)
        for imported, line in imports
        if any(_within(imported, f) for f in forbidden)
        and not (_within(imported, room) and room != "weft.errors")
    ]


@pytest.mark.parametrize("room", NEVER)
def test_rooms_do_not_import_what_is_behind_them(room: str) -> None:
    assert any(_within(name, room) for name in _modules()), f"there is no {room}"
    assert not _breaches(room, NEVER[room])


@pytest.mark.parametrize("room", FOREIGN)
def test_rooms_do_not_need_packages_that_a_board_lacks(room: str) -> None:
    assert any(_within(name, room) for name in _modules()), f"there is no {room}"
    assert not _breaches(room, FOREIGN[room])


def test_a_backend_finds_overlays_and_reads_their_manifests() -> None:
    found = {
        imported
        for name, imports in _imports().items()
        if _within(name, "weft.backend")
        for imported, _ in imports
        if _within(imported, "weft.bundle")
    }
    assert found == {"weft.bundle.manifest", "weft.bundle.store"}


def test_nothing_below_imports_the_upper_floors() -> None:
    below = {n.split(".")[1] for n in _modules() if "." in n} - {u.split(".")[1] for u in UPPER}
    for room in sorted(below - {"__main__"}):
        assert not _breaches(f"weft.{room}", UPPER)


def test_only_the_frontend_and_the_references_read_torch() -> None:
    allowed = ("weft.compiler.frontend", "weft.compiler.graph.reference",
               "weft.compiler.quantise.model", "weft.compiler.quantise.pt2e",
               "weft.compiler.quantise.products", "weft.compiler.quantise.rounding",
               "weft.host.torch_operators", "weft.runtime.accelerate", "weft.runtime.claims",
               "weft.runtime.layer", "weft.models",
               "weft.measure")
    for name, imports in _imports().items():
        if not any(_within(name, a) for a in allowed):
            assert not [i for i, _ in imports if _within(i, "torch")], name


def test_folders_have_no_import_circles() -> None:
    """Neither the rooms of the package, nor those of the compiler and the backends."""

    def room(name: str) -> str:
        parts = name.split(".")
        return ".".join(parts[: 3 if parts[1] in ("compiler", "backend") else 2])

    edges: dict[str, set[str]] = {}
    for name, imports in _imports().items():
        if name in ("weft", "weft.__main__"):
            continue  # lazy names of the package itself
        for imported, _ in imports:
            if _within(imported, "weft") and imported != "weft" and room(imported) != room(name):
                edges.setdefault(room(name), set()).add(room(imported))
    done: set[str] = set()

    def visit(at: str, path: tuple[str, ...]) -> None:
        assert at not in path, f"circle: {' -> '.join((*path[path.index(at):], at))}"
        if at not in done:
            for to in sorted(edges.get(at, ())):
                visit(to, (*path, at))
            done.add(at)

    for start in sorted(edges):
        visit(start, ())


def test_the_root_has_few_names() -> None:
    names = {p.name for p in SW.iterdir() if p.name != "__pycache__"}
    assert len(names) <= MOST_NAMES, sorted(names)


def test_files_are_short() -> None:
    for path in [*SW.rglob("*.py"), *(ROOT / "hw").rglob("*.py")]:
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines"


def test_every_room_says_what_is_in_it() -> None:
    """The first line of each folder stands in docs/architecture.md, in the picture of the house."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in sorted(SW.rglob("__init__.py")):
        if path.parent == SW:
            continue
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        name = path.parent.relative_to(SW).as_posix()
        assert f"`{name}/`" in page, f"docs/architecture.md does not show {name}/"
        assert first.rstrip(".") in page, f"docs/architecture.md does not say of {name}/: {first}"
