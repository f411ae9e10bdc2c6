"""The walker of a port under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.config import PRESETS
from weft_hw.dma.walker import Walker

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset, port", [("tiny-wide", 1), ("kv260", 2)])
def test_walker(bench, preset, port, stall):
    name = f"walker_{preset.replace('-', '_')}"
    dut = Walker(PRESETS[preset], port)
    outcome = bench(dut, "bench_walker", name=name, preset=preset, port=port, stall=stall)
    assert outcome.tests == 4
