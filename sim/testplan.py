"""The testplan: which behaviour each test verifies. Data in ``testplan.toml``."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["PLAN", "STAGES", "Testpoint", "load", "parse", "table", "tests_in"]

PLAN = Path(__file__).with_name("testplan.toml")
ROOT = PLAN.parent.parent
#: V1 smoke, V2 every feature, V3 stress, faults and performance.
STAGES = ("V1", "V2", "V3")


@dataclass(frozen=True)
class Testpoint:
    """A behaviour, and the test functions (``file::function``) that verify it."""

    __test__ = False

    name: str
    description: str
    stage: str
    tests: tuple[str, ...]


def parse(document: Mapping[str, Any]) -> list[Testpoint]:
    """Testpoints of a parsed ``testplan.toml``.

    Raises
    ------
    ValueError
        A key is missing, unknown or malformed, or a name is used twice.
    """
    points: list[Testpoint] = []
    for entry in document.get("testpoint", []):
        name = entry.get("name", "(no name)")
        wanted = {"name", "description", "stage", "tests"}
        if set(entry) != wanted:
            raise ValueError(f"testpoint {name} must have {sorted(wanted)}, not {sorted(entry)}")
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ValueError(f"testpoint {name!r}: the name must be in kebab-case")
        if entry["stage"] not in STAGES:
            raise ValueError(
                f"testpoint {name}: stage must be one of {STAGES}, not {entry['stage']!r}"
            )
        if not entry["tests"]:
            raise ValueError(f"testpoint {name} names no test")
        if name in (p.name for p in points):
            raise ValueError(f"testpoint {name} is defined twice")
        points.append(
            Testpoint(name, entry["description"].strip(), entry["stage"], tuple(entry["tests"]))
        )
    return points


def load(path: Path = PLAN) -> list[Testpoint]:
    """The testpoints of the project."""
    return parse(tomllib.loads(path.read_text(encoding="utf-8")))


def tests_in(path: Path) -> list[str]:
    """``file::function`` of each test function in a file, the file relative to the repository."""
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE)
    return [f"{path.relative_to(ROOT).as_posix()}::{name}" for name in names]


def table(
    points: Sequence[Testpoint], results: Mapping[str, Sequence[str]]
) -> list[tuple[str, bool]]:
    """Lines of the table of testpoints, each with whether it is bad.

    Parameters
    ----------
    results : test -> outcomes of its variants, "passed", "failed" or "skipped"
    """
    width = max((len(p.name) for p in points), default=0)
    lines = []
    for stage in STAGES:
        for point in (p for p in points if p.stage == stage):
            outcomes = [o for test in point.tests for o in results.get(test, ())]
            missing = [t for t in point.tests if t not in results]
            if "failed" in outcomes:
                verdict = "FAILED"
            elif not outcomes:
                verdict = "not run"
            elif missing or "skipped" in outcomes:
                verdict = "partly run"
            else:
                verdict = "passed"
            passed = outcomes.count("passed")
            text = textwrap.shorten(point.description, 80, placeholder=" ...")
            count = f"{passed:3}/{len(outcomes):<3}"
            row = f"{stage}  {point.name:{width}}  {verdict:10} {count}  {text}"
            lines.append((row, verdict == "FAILED"))
    return lines
