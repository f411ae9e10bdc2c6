"""The write port of a bus under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.config import PRESETS
from weft_hw.dma.write_port import WritePort

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_write_port(bench, stall):
    # The wide beats of the UltraScale+ presets; tests/hw/dma covers AXI3.
    dut = WritePort(PRESETS["kv260"])
    outcome = bench(dut, "bench_write_port", name="write_port", preset="kv260", stall=stall)
    assert outcome.tests == 4
