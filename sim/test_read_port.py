"""The read port of a bus under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.config import PRESETS
from weft_hw.dma.read_port import ReadPort

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_read_port(bench, stall):
    # The wide beats of the UltraScale+ presets; tests/hw/dma covers AXI3.
    dut = ReadPort(PRESETS["kv260"])
    outcome = bench(dut, "bench_read_port", name="read_port", preset="kv260", stall=stall)
    assert outcome.tests == 5
