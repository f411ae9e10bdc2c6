"""The scratchpad under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.config import PRESETS
from weft_hw.memory.scratchpad import Scratchpad

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
def test_scratchpad(bench, preset, stall):
    name = f"scratchpad_{preset.replace('-', '_')}"
    dut = Scratchpad(PRESETS[preset])
    assert bench(dut, "bench_scratchpad", name=name, preset=preset, stall=stall).tests == 3
