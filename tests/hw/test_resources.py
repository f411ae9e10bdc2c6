"""Cells of the smallest preset: within the record, and memories where they belong."""

from __future__ import annotations

import pytest

from resource_checks import check_memories, measured
from weft.synth.counts import CellCounts
from weft.synth.record import GROWTH, growth, recorded


def test_growth_is_seen():
    kept = {"blocks": {"t": {"lut": 100, "ff": 100, "bram36": 4, "uram": 0, "dsp": 8}}}
    same = CellCounts("t", lut=103, ff=100, bram36=4, dsp=8)
    assert growth(same, kept) == []
    more = CellCounts("t", lut=104, ff=90, bram36=4.5, dsp=8, uram=1)
    assert growth(more, kept) == [
        "lut 104, recorded 100", "bram36 4.5, recorded 4", "uram 1, recorded 0"
    ]
    assert GROWTH == 0.03


@pytest.mark.timeout(900)
def test_tiny_is_within_the_record():
    report = measured("tiny")
    assert not growth(report.total, recorded()["tiny"]), (
        "write the record in this commit: python -m weft.synth.record tiny pynq-z2"
    )
    check_memories(report, small=True)
    assert report.total.dsp == 8 * 4 + 8 + 2, "cells, lanes, row counters of load and store"
