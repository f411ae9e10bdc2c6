"""The result writer under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.compute.result import ResultWriter
from weft_hw.config import PRESETS

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
def test_result(bench, preset, stall):
    dut = ResultWriter(PRESETS[preset])
    name = f"result_{preset.replace('-', '_')}"
    outcome = bench(dut, "bench_result", name=name, preset=preset, stall=stall, latency=dut.LATENCY)
    assert outcome.tests == 1
