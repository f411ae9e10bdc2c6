"""The watchdog under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.control.watchdog import Watchdog

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_watchdog(bench, stall):
    assert bench(Watchdog(), "bench_watchdog", name="watchdog", stall=stall).tests == 3
