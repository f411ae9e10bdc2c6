"""The runner itself: a bench that fails must fail its test, and traces come only when asked for."""

from __future__ import annotations

import dataclasses
import re

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

import runner

pytestmark = pytest.mark.sim


class Counter(wiring.Component):
    """Counts cycles."""

    def __init__(self):
        super().__init__({"value": Out(16)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.value.eq(self.value + 1)
        return m


def run(**settings):
    settings = {"test": "runner", "seed": 7, **settings}
    return runner.run(Counter(), "bench_runner", name="counter", **settings)


def test_outcome():
    outcome = run()
    assert outcome.tests == 3
    # Five cycles of start in each coroutine, and the hundred of one.
    assert 110 <= outcome.cycles <= 130
    # A fast host gives no time at all to so short a bench.
    assert dataclasses.replace(outcome, seconds=0.5).cycles_per_second == 2 * outcome.cycles
    assert dataclasses.replace(outcome, seconds=0.0).cycles_per_second == 0
    assert outcome.waves is None


def test_a_failing_coroutine_is_named_with_its_log():
    with pytest.raises(runner.BenchFailed, match="(?s)seed 7: failed: fails_on_request.*asked"):
        run(fail=True)
    assert run(fail=True, only="counts").tests == 1


def test_a_bench_that_does_not_exist_fails():
    with pytest.raises(runner.BenchFailed, match="bench_absent on counter"):
        runner.run(Counter(), "bench_absent", name="counter", test="absent", seed=1)
    with pytest.raises(runner.BenchFailed):
        run(only="no_such_coroutine")


def test_the_seed_decides():
    drawn = [
        re.findall(r"drew (\d+)", run(seed=seed, only="draws").log.read_text())[0]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_traces_only_when_asked():
    assert not list(run().log.parent.glob("*.vcd"))
    outcome = run(waves=True, test="runner waves")
    assert outcome.waves == runner.WAVES / "runner_waves.vcd"
    assert "$enddefinitions" in outcome.waves.read_text()
    outcome.waves.unlink()
