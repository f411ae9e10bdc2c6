"""The systolic array, of portable and of packed cells, under cocotb."""

from __future__ import annotations

import pytest

from test_dsp import MODEL
from weft_hw.compute.array import Array
from weft_hw.config import PRESETS

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize(
    "preset, target", [("tiny", "portable"), ("tiny-wide", "portable"), ("tiny-wide", "xcup")]
)
def test_array(bench, preset, target, stall):
    dut = Array(PRESETS[preset], target)
    packed = target != "portable"
    outcome = bench(
        dut,
        "bench_array",
        name=f"array_{preset.replace('-', '_')}_{target}",
        models=(MODEL,) if packed else (),
        preset=preset,
        stall=stall,
        latency=dut.LATENCY,
        least_weight=-127 if packed else -128,
    )
    assert outcome.tests == 1
