"""Instruction fetch under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.config import PRESETS
from weft_hw.control.fetch import Fetch

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset", ["tiny", "kv260"])
def test_fetch(bench, preset, stall):
    outcome = bench(
        Fetch(PRESETS[preset]), "bench_fetch", name=f"fetch_{preset}", preset=preset, stall=stall
    )
    assert outcome.tests == 4
