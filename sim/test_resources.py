"""Cells of the board presets: within the record and within the board."""

from __future__ import annotations

import pytest

from resource_checks import check_memories, measured
from weft.synth import misfits
from weft.synth.record import growth, recorded
from weft_hw.boards import BOARDS

pytestmark = pytest.mark.sim


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_pynq_z2():
    report = measured("pynq-z2")
    total, board = report.total, BOARDS["pynq-z2"]
    assert not growth(total, recorded()["pynq-z2"]), (
        "write the record in this commit: python -m weft.synth.record tiny pynq-z2"
    )
    assert total.lut <= 0.45 * board.lut and total.ff <= 0.45 * board.ff
    assert total.bram36 <= 98 and total.dsp <= 152
    blocks = {c.name: c for c in report.counts}
    assert blocks["weft_top.core.compute.array"].dsp == 128
    assert blocks["weft_top.core.scratchpad"].cells["RAMB36E1"] == 48
    assert blocks["weft_top.core.compute.weights"].cells["RAMB36E1"] == 16
    assert blocks["weft_top.core.compute.parameters"].cells["RAMB36E1"] == 4
    lane = blocks["weft_top.core.compute.lane0"]
    assert (lane.instances, lane.cells["RAMB36E1"], lane.cells["RAMB18E1"]) == (8, 2, 2)
    check_memories(report, small=False)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["kv260", "zcu104"])
def test_wide_array(name):
    report = measured(name)
    assert not misfits(report.total, BOARDS[name])
    blocks = {c.name: c for c in report.counts}
    assert blocks["weft_top.core.compute.array"].dsp == 512
    check_memories(report, small=False)
