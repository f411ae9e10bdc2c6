"""The dispatcher under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.control.dispatch import Dispatch

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
def test_dispatch(bench, stall):
    assert bench(Dispatch(), "bench_dispatch", name="dispatch", stall=stall).tests == 4
