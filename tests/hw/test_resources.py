"""Cells of presets: within the record, and memories where they belong."""

from __future__ import annotations

import pytest

from record_resources import GROWTH, PAGE, growth, page
from resource_checks import check_growth, check_memories, check_paths, measured, unregistered
from weft.synth.counts import CellCounts
from weft_hw.boards import BOARDS


def recorded_as(*blocks):
    """A record of blocks with these names."""
    return {
        "blocks": {
            name: {"lut": 1000, "ff": 100, "bram36": 4, "uram": 0, "dsp": 8} for name in blocks
        }
    }


def test_growth_is_seen():
    kept = recorded_as("t")
    same = CellCounts("t", lut=1030, ff=100, bram36=4, dsp=8)
    assert growth([same], kept) == []
    more = CellCounts("t", lut=1031, ff=90, bram36=4.5, dsp=8, uram=1)
    assert growth([more], kept) == [
        "t: lut 1031, recorded 1000", "t: bram36 4.5, recorded 4", "t: uram 1, recorded 0"
    ]
    assert GROWTH == 0.03


def test_growth_of_a_block_is_seen():
    """A block may exceed the record by ten cells, but not by a memory or a multiplier."""
    kept = recorded_as("t", "t.a", "t.b")
    top = CellCounts("t", lut=1000, ff=104, bram36=4, dsp=8)
    near = CellCounts("t.a", lut=1030, ff=110, bram36=4, dsp=8)
    far = CellCounts("t.c", lut=1, ff=1)
    assert growth([top, near, far], kept) == [
        "t.b is gone", "t: ff 104, recorded 100", "t.c is not recorded"
    ]
    over = CellCounts("t.a", lut=1031, ff=111, bram36=4, dsp=9)
    assert growth([CellCounts("t"), over, CellCounts("t.b")], kept) == [
        "t.a: lut 1031, recorded 1000", "t.a: ff 111, recorded 100", "t.a: dsp 9, recorded 8"
    ]


def cell(kind, inputs, outputs, **parameters):
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "parameters": parameters, "connections": {**inputs, **outputs},
            "port_directions": directions}


def test_a_memory_without_its_register_is_seen():
    """Data of a block memory go to a register without reset, and nowhere else."""
    netlist = {
        "ports": {"y": {"direction": "output", "bits": [9]}},
        "cells": {
            "good": cell("RAMB36E1", {}, {"DOADO": [2, 3]}, DOA_REG="0" * 32),
            "r2": cell("FDRE", {"D": [2], "R": ["0"], "CE": [7]}, {"Q": [12]}),
            "inside": cell("RAMB36E1", {}, {"DOADO": [4]}, DOA_REG="0" * 31 + "1"),
            "l4": cell("LUT1", {"I0": [4]}, {"O": [13]}),
            "logic": cell("RAMB18E1", {}, {"DOBDO": [5]}, DOB_REG="0" * 32),
            "l5": cell("LUT1", {"I0": [5]}, {"O": [14]}),
            "reset": cell("RAMB36E2", {}, {"DOUTADOUT": [6]}, DOA_REG="0" * 32),
            "r6": cell("FDRE", {"D": [6], "R": [7], "CE": ["1"]}, {"Q": [15]}),
            "twice": cell("URAM288", {}, {"DOUT_B": [8]}, OREG_B="FALSE"),
            "r8": cell("FDRE", {"D": [8], "R": ["0"], "CE": ["1"]}, {"Q": [16]}),
            "s8": cell("FDRE", {"D": [8], "R": ["0"], "CE": ["1"]}, {"Q": [17]}),
            "pin": cell("RAMB18E2", {}, {"DOUTBDOUT": [9]}, DOB_REG="0" * 32),
        },
    }
    assert unregistered(netlist) == [
        "logic DOBDO[0] -> LUT1.I0",
        "reset DOUTADOUT[0] -> FDRE.D",
        "twice DOUT_B[0] -> register, register",
        "pin DOUTBDOUT[0] -> output y",
    ]


def test_the_page_shows_the_records():
    text = PAGE.read_text()
    assert page(text) == text, "run python scripts/record_resources.py"


@pytest.mark.timeout(900)
def test_tiny_is_within_the_record():
    report = measured("tiny")
    check_growth("tiny", report)
    check_memories(report, small=True)
    check_paths(report)
    engine = 8 * 3 + 4
    assert report.total.dsp == 8 * 4 + 8 + 2 + engine, "cells, lanes, rows of transfers"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_pynq_z2_is_within_the_record_and_the_board():
    """Cold, it takes about 290 s of processor time in two runs of Yosys side by side."""
    report = measured("pynq-z2")
    total, chip = report.total, BOARDS["pynq-z2"].chip
    check_growth("pynq-z2", report)
    assert total.lut <= 0.62 * chip.lut and total.ff <= 0.45 * chip.ff
    assert total.bram36 <= 112 and total.dsp <= 208
    blocks = {c.name: c for c in report.counts}
    assert blocks["weft_top.core.compute.array"].dsp == 128
    assert blocks["weft_top.core.scratchpad"].cells["RAMB36E1"] == 48
    assert blocks["weft_top.core.compute.weights"].cells["RAMB36E1"] == 16
    assert blocks["weft_top.core.compute.parameters"].cells["RAMB36E1"] == 4
    lane = blocks["weft_top.core.compute.lane0"]
    assert (lane.instances, lane.cells["RAMB36E1"], lane.cells["RAMB18E1"]) == (8, 2, 2)
    check_memories(report, small=False)
    check_paths(report)
