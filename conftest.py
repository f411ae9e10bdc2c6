"""Skips and random draws, in the fast tests and in the hardware verification.

Skips are printed with their reasons at the end. With ``CI=true`` a skip that
``tests/allowed_skips.txt`` does not list is a failure. No test of random programs or shapes fails
because the machine is slow.
"""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ALLOWED = Path(__file__).parent / "tests" / "allowed_skips.txt"

settings.register_profile(
    "weft", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("weft")


def allowed_skips() -> list[str]:
    """Patterns of test ids that may skip, one per line; ``#`` starts a comment."""
    lines = (line.split("#")[0].strip() for line in ALLOWED.read_text().splitlines())
    return [line for line in lines if line]


def _skips(reporter) -> list[tuple[str, str]]:
    found = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr
        if isinstance(reason, tuple):
            reason = reason[2]
        found.append((report.nodeid, str(reason).removeprefix("Skipped: ")))
    return found


def unexpected_skips(skips: list[tuple[str, str]], patterns: list[str]) -> list[str]:
    """Test ids among `skips` that no pattern matches."""
    return [node for node, _ in skips if not any(fnmatch(node, p) for p in patterns)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Fail a run under CI that skipped a test without leave."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("CI") != "true":
        return
    refused = unexpected_skips(_skips(reporter), allowed_skips())
    if refused and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Print each skip with its reason, and which of them CI refuses."""
    skips = _skips(terminalreporter)
    if not skips:
        return
    terminalreporter.section("skipped")
    for node, reason in skips:
        terminalreporter.line(f"{node}: {reason}")
    refused = unexpected_skips(skips, allowed_skips())
    if refused and os.environ.get("CI") == "true":
        line = f"{len(refused)} skips are not listed in tests/{ALLOWED.name}:"
        terminalreporter.line(line, red=True)
        for node in refused:
            terminalreporter.line(f"  {node}", red=True)
