"""The table of boards, and platforms: what follows from a configuration, a board and a clock."""

from __future__ import annotations

import dataclasses

import pytest

from weft_hw.boards import (
    BOARDS,
    CHIPS,
    PYNQ_BOARDS,
    RESOURCES,
    ZYNQ7,
    ZYNQMP,
    BoardError,
    board_named,
    pynq_board,
)
from weft_hw.config import PRESETS, AcceleratorConfig, preset
from weft_hw.platform import Platform, default_board, platform
from weft_hw.target import check_target

#: Full names, written again: what Vivado and nextpnr take, down to speed and temperature grade.
PARTS = {
    "pynq-z2": "xc7z020clg400-1",
    "pynq-z1": "xc7z020clg400-1",
    "ultra96": "xczu3eg-sbva484-1-i",
    "aup-zu3": "xczu3eg-sfvc784-2-e",
    "kv260": "xck26-sfvc784-2LV-c",
    "zcu104": "xczu7ev-ffvc1156-2-e",
}
#: DSP primitive of each processing system's logic.
PRIMITIVES = {ZYNQ7: "DSP48E1", ZYNQMP: "DSP48E2"}


def test_every_board_has_its_full_part_and_cells_of_its_family():
    assert {name: board.chip.part for name, board in BOARDS.items()} == PARTS
    assert {board.chip.part for board in BOARDS.values()} == set(CHIPS)
    for name, board in BOARDS.items():
        assert board.name == name
        packing = check_target(board.chip.target)
        assert packing is not None and packing.primitive == PRIMITIVES[board.system]
        assert packing.ultra_ram == (board.chip.uram > 0)
        for resource in RESOURCES:
            assert getattr(board.chip, resource) > 0 or resource == "uram"


def test_every_dram_says_where_its_figures_come_from():
    for board in BOARDS.values():
        dram = board.dram
        assert 0.5 < dram.efficiency < 1 and 200 <= dram.read_latency_ns <= 1000
        assert "MT/s" in dram.source or "DDR4-2400" in dram.source
        assert "estimate" in dram.source, "nobody measured the latencies"
    z1, z2 = BOARDS["pynq-z1"], BOARDS["pynq-z2"]
    assert z1.chip is z2.chip and z1.dram is z2.dram


@pytest.mark.parametrize(
    ("name", "bits", "mega_transfers"),
    [("pynq-z2", 16, 1050), ("ultra96", 32, 1066), ("aup-zu3", 32, 2400), ("kv260", 64, 2400),
     ("zcu104", 64, 2133)],
)  # fmt: skip
def test_rates_are_those_of_the_memory_chips(name, bits, mega_transfers):
    assert BOARDS[name].dram.peak_gb_s == pytest.approx(bits / 8 * mega_transfers / 1000, rel=0.005)


def test_unknown_boards_and_boards_without_an_image_are_refused():
    with pytest.raises(BoardError, match="^unknown board 'zedboard'; the boards are pynq-z2, pynq"):
        board_named("zedboard")
    with pytest.raises(BoardError, match="the boards are"):
        pynq_board("zedboard")
    assert set(BOARDS) - set(PYNQ_BOARDS) == {"ultra96"}
    with pytest.raises(BoardError, match="^there is no PYNQ image for ultra96; the boards with "):
        pynq_board("ultra96")
    assert pynq_board("kv260") is BOARDS["kv260"]


def test_clocks_are_never_faster_than_asked():
    for system in (ZYNQ7, ZYNQMP):
        for wanted in (10, 33, 99.9, 100, 142, 187.5, 200, 250):
            clock = system.clock(wanted)
            assert clock.mhz <= wanted + 1e-6
            reached = system.pll_mhz / (clock.divisor0 * clock.divisor1)
            assert clock.mhz == pytest.approx(reached, abs=1e-5)
    assert ZYNQMP.clock(200).mhz == 187.5
    with pytest.raises(BoardError, match="at 0.4 to 333 MHz, not at 500"):
        ZYNQMP.clock(500)


def test_ports_are_spread():
    assert ZYNQ7.data_ports(2) == ("S_AXI_HP0", "S_AXI_HP2")
    assert ZYNQMP.data_ports(2) == ("S_AXI_HP1_FPD", "S_AXI_HP3_FPD")
    for system in (ZYNQ7, ZYNQMP):
        for count in range(1, 5):
            assert len(set(system.port_numbers(count))) == count
        for wrong in (0, 5):
            with pytest.raises(BoardError, match=r"1\.\.4"):
                system.data_ports(wrong)


def test_every_preset_has_a_platform():
    boards = {name: platform(config).board.name for name, config in PRESETS.items()}
    assert boards == {
        "pynq-z2": "pynq-z2",
        "kv260": "kv260",
        "zcu104": "zcu104",
        "tiny": "pynq-z2",
        "tiny-wide": "pynq-z2",
        "pynq-z2-array": "pynq-z2",
    }
    for config in PRESETS.values():
        assert platform(config).clock_mhz == config.clock_mhz


def test_a_platform_is_a_value():
    a, b = platform(preset("pynq-z2")), platform(preset("pynq-z2"), "pynq-z2", 100.0)
    assert a == b and hash(a) == hash(b)
    assert a.name == "pynq-z2 on pynq-z2 at 100 MHz"
    assert a != platform(preset("pynq-z2"), clock_mhz=137)
    assert platform(preset("pynq-z2"), clock_mhz=137).clock.mhz == 125
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.clock_mhz = 150


def test_a_configuration_without_a_board_gets_one_whose_ports_fit():
    custom = AcceleratorConfig(name="mine")
    assert (custom.board, custom.axi_protocol, custom.axi_data_bits) == ("", "axi4", 64)
    assert default_board(custom).name == "kv260"
    assert default_board(custom.replace(axi_protocol="axi3")).name == "pynq-z2"
    wide = custom.replace(rows=32, cols=32, axi_data_bits=128)
    assert default_board(wide).name == "kv260"
    assert platform(custom, "ultra96", 150).board is BOARDS["ultra96"]
    for nowhere in (wide.replace(axi_protocol="axi3"), custom.replace(axi_address_bits=49)):
        with pytest.raises(BoardError, match="^mine names no board, and its .* the boards are py"):
            default_board(nowhere)
    with pytest.raises(BoardError, match="^unknown board 'mars'"):
        platform(custom.replace(board="mars"))


def test_the_board_is_no_part_of_the_hash():
    """kv260 and zcu104 are the same RTL; so is a configuration that names no board."""
    assert PRESETS["kv260"].hash == PRESETS["kv260"].replace(board="").hash


@pytest.mark.parametrize(
    ("name", "board", "clock", "said"),
    [
        ("kv260", "pynq-z2", 100, "kv260 has data ports of 128 bits, those of pynq-z2 have 64"),
        ("tiny-wide", "kv260", 100, "tiny-wide has AXI3 ports, those of kv260 are AXI4"),
        ("tiny", "zcu104", 400, "can clock the accelerator at 0.4 to 333 MHz, not at 400"),
        ("tiny", "pynq-z2", 0.1, "can clock the accelerator at 0.3 to 250 MHz, not at 0.1"),
    ],
)
def test_what_a_board_cannot_carry_is_no_platform(name, board, clock, said):
    with pytest.raises(BoardError, match=said):
        Platform(preset(name), BOARDS[board], clock)
    with pytest.raises(BoardError, match="addresses of 49 bits, those of kv260 have 40"):
        Platform(preset("tiny").replace(axi_address_bits=49), BOARDS["kv260"], 100)
