"""Cells of the presets with a wide array: within the board. The others: tests/hw."""

from __future__ import annotations

import pytest

from resource_checks import check_memories, measured
from weft.synth import misfits
from weft_hw.boards import BOARDS

pytestmark = pytest.mark.sim


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["kv260", "zcu104"])
def test_wide_array(name):
    report = measured(name)
    assert not misfits(report.total, BOARDS[name])
    blocks = {c.name: c for c in report.counts}
    assert blocks["weft_top.core.compute.array"].dsp == 512
    check_memories(report, small=False)
