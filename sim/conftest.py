"""Options of the hardware verification, and its table of testpoints.

``--waves`` writes ``build/waves/<test>.vcd``; ``--seed`` repeats a run; ``--full`` adds the long
tests.
"""

from __future__ import annotations

import random

import pytest

import runner
import testplan


def pytest_addoption(parser):
    group = parser.getgroup("weft hardware verification")
    group.addoption("--waves", action="store_true", help="write a VCD trace of each bench")
    group.addoption("--seed", default="1", help="a number, or random (default: 1)")
    group.addoption("--full", action="store_true", help="run the tests that are marked full, too")


def pytest_configure(config):
    text = config.getoption("--seed")
    config.weft_seed = random.SystemRandom().randrange(1 << 31) if text == "random" else int(text)
    config.weft_outcomes = []
    config.weft_rates = []
    config.weft_points = {}


def pytest_report_header(config):
    return f"weft: seed {config.weft_seed} (repeat with --seed {config.weft_seed})"


def pytest_collection_modifyitems(config, items):
    """Leave the tests that are marked full out, unless they were asked for."""
    if config.getoption("--full"):
        return
    kept = [item for item in items if item.get_closest_marker("full") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture
def seed(request) -> int:
    """Seed of this run, printed in its header."""
    return request.config.weft_seed


@pytest.fixture(scope="module")
def devices():
    """``devices(preset)``: the RTL of a preset, once."""
    from weft.backend.rtl.backend import RtlBackend
    from weft_hw.config import preset

    found: dict[str, RtlBackend] = {}

    def get(name: str) -> RtlBackend:
        if name not in found:
            found[name] = RtlBackend(preset(name), timeout_cycles=50_000_000)
        return found[name]

    yield get
    for rtl in found.values():
        rtl.close()


@pytest.fixture
def bench(request, seed):
    """Run a cocotb bench: ``bench(component, "bench_fifo", name="fifo", depth=4)``.

    Takes what :func:`runner.run` takes, less `test`, `seed` and `waves`.
    """

    def run_bench(component, module, *, name, **settings):
        outcome = runner.run(
            component,
            module,
            name=name,
            test=request.node.nodeid.removeprefix("sim/"),
            seed=seed,
            waves=request.config.getoption("--waves"),
            **settings,
        )
        request.config.weft_outcomes.append(outcome)
        return outcome

    return run_bench


def pytest_runtest_logreport(report):
    """Remember the worst result of each test function."""
    name = report.nodeid.partition("[")[0]
    if report.when == "call" or report.outcome != "passed":
        _RESULTS.setdefault(name, []).append(report.outcome)


_RESULTS: dict[str, list[str]] = {}


def pytest_terminal_summary(terminalreporter, config):
    """Speed of each bench, and each testpoint with its result."""
    outcomes = config.weft_outcomes
    if outcomes:
        terminalreporter.section("cocotb benches")
        for o in outcomes:
            terminalreporter.line(
                f"{o.name}: {o.tests} passed, seed {o.seed}, {o.cycles} cycles, "
                f"{o.cycles_per_second:.0f} cycles/s" + (f", trace {o.waves}" if o.waves else "")
            )
    if config.weft_rates:
        terminalreporter.section("products on the C++ harness")
        for line in config.weft_rates:
            terminalreporter.line(line)
    terminalreporter.section("testpoints")
    for line, bad in testplan.table(testplan.load(), _RESULTS):
        terminalreporter.line(line, red=bad)
