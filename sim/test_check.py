"""Field checks of instructions under cocotb."""

from __future__ import annotations

import pytest

from weft_hw.config import PRESETS
from weft_hw.control.check import Check

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("stall", [0.0, 0.5], ids=["full-rate", "stalls"])
@pytest.mark.parametrize("preset", ["tiny", "tiny-wide"])
def test_check(bench, preset, stall):
    name = f"check_{preset.replace('-', '_')}"
    outcome = bench(Check(PRESETS[preset]), "bench_check", name=name, preset=preset, stall=stall)
    assert outcome.tests == 4
