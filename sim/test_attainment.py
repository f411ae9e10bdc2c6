"""What a matrix product must reach on the Verilated board presets, with the DRAM model on.

Cycles are simulated, so these are not tests of wall time. The short list runs in ``make sim``; the
long one, latencies doubled included, with ``--full``.
"""

from __future__ import annotations

import dataclasses

import pytest

from measured import Row, documented
from weft.measure.bench import GemmBench, random_runs
from weft_hw.config import preset

pytestmark = pytest.mark.sim

#: (preset, M, K, N): least attainment at the preset's clock.
TARGETS = {
    ("pynq-z2", 128, 384, 384): 0.97,
    ("pynq-z2", 128, 384, 1536): 0.97,
    ("pynq-z2", 128, 1536, 384): 0.97,
    ("pynq-z2", 128, 768, 3072): 0.97,
    ("pynq-z2", 196, 512, 512): 0.97,
    ("pynq-z2", 3136, 64, 128): 0.97,
    ("pynq-z2", 12544, 32, 64): 0.94,
    ("pynq-z2", 1, 384, 1536): 0.95,
    ("pynq-z2", 1, 2048, 5632): 0.95,
    ("pynq-z2", 1, 4096, 4096): 0.95,
}
QUICK = [shape for shape in TARGETS if shape[1:] in {
    (128, 384, 384), (12544, 32, 64), (1, 384, 1536), (3136, 64, 128)}]
#: Predicted against simulated cycles.
MODEL_ERROR = 0.05
#: How much attainment may fall when the latencies of the DRAM double.
LATENCY_LOSS = 0.02


@pytest.fixture(scope="module")
def measure(request):
    """``measure(preset, shape, latency_factor)``: the result of one product, equal to torch-int.

    What ``docs/measured.md`` says of the product has to be what comes out.
    """
    benches: dict[tuple[str, int], GemmBench] = {}
    rows = documented()

    def run(name, shape, factor=1):
        key = (name, factor)
        if key not in benches:
            benches[key] = GemmBench(preset(name), "rtl", latency_factor=factor)
        (result,) = random_runs(benches[key], [shape], "int8", 1, lambda _: None)
        request.config.weft_rates.append(
            f"{name} {'x'.join(map(str, shape))}: {result.cycles} cycles, attainment "
            f"{result.attainment:.4f}, predicted {result.model_error:+.1%}, "
            f"{result.simulated_cycles_per_second:.0f} cycles/s"
        )
        row = rows.get((name, shape))
        if row is not None:
            found = Row.of(result, result)
            if factor == 2:
                found = dataclasses.replace(row, doubled=found.doubled)
            else:
                found = dataclasses.replace(found, doubled=row.doubled)
            assert found == row, "write the table again: python sim/measured.py"
        return result

    yield run
    for bench in benches.values():
        bench.close()


def check(result, target):
    assert result.exact
    assert result.attainment >= target
    assert abs(result.model_error) <= MODEL_ERROR


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", QUICK, ids=str)
def test_targets(measure, case):
    check(measure(case[0], case[1:]), TARGETS[case])


def test_small_job(measure):
    assert measure("pynq-z2", (16, 16, 16)).cycles <= 400


def test_twice_the_rows(measure):
    """Twice the M costs at most 2.02 times the cycles."""
    once, twice = (measure("pynq-z2", (m, 384, 384)).cycles for m in (128, 256))
    assert twice <= 2.02 * once


@pytest.mark.parametrize("shape", [(1, 7, 5), (37, 100, 77), (129, 385, 33)], ids=str)
@pytest.mark.parametrize("name", ["pynq-z2", "tiny", "tiny-wide"])
def test_ragged(measure, name, shape):
    assert measure(name, shape).exact


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", [c for c in TARGETS if c not in QUICK], ids=str)
def test_all_targets(measure, case):
    check(measure(case[0], case[1:]), TARGETS[case])


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", TARGETS, ids=str)
def test_doubled_latency(measure, case):
    assert measure(case[0], case[1:], 2).attainment >= TARGETS[case] - LATENCY_LOSS


@pytest.mark.full
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("shape", [(512, 1024, 1024), (1, 4096, 4096)], ids=str)
def test_wide_array(measure, shape):
    """32 x 32: exact, and as predicted."""
    check(measure("kv260", shape), 0.9)
