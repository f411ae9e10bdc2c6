"""The sequencer of the compute unit under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.compute.sequencer import Sequencer
from weft_hw.config import PRESETS

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_sequencer(bench, stall):
    dut = Sequencer(PRESETS["tiny"])
    outcome = bench(dut, "bench_sequencer", name="sequencer", preset="tiny", stall=stall)
    assert outcome.tests == 3
