"""Result lanes (accumulators, requantise, table) under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.compute.lane import LanePair
from weft_hw.config import PRESETS

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_lane(bench, stall):
    dut = LanePair(PRESETS["tiny"])
    assert bench(dut, "bench_lane", name="lane", preset="tiny", stall=stall).tests == 1
