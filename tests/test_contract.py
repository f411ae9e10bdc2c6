"""The contract stands alone, and its parts agree with each other and with hand-worked values."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from weft_hw import registers
from weft_hw.config import PRESETS, AcceleratorConfig, ConfigError, preset
from weft_hw.isa import INSTRUCTION_BYTES, LAYOUTS, LOOP_LEVELS, Opcode

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ("boards", "config", "ip", "isa", "numerics", "platform", "registers", "target")
FORBIDDEN = ("amaranth", "torch", "transformers", "rich", "typer", "weft")


def run_blocked(code: str, blocked: tuple[str, ...]) -> None:
    """Run `code` in a new interpreter in which importing `blocked` fails."""
    block = f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n"
    path = f"sys.path[:0] = [{str(ROOT / 'hw')!r}, {str(ROOT / 'sw')!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", block + path + code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CONTRACT)
def test_contract_imports_alone(name):
    run_blocked(f"import weft_hw.{name}", FORBIDDEN)


def test_names_of_the_package_are_there_when_they_are_used():
    import weft

    for name in weft.__all__:
        assert getattr(weft, name) is not None
    with pytest.raises(AttributeError, match="module 'weft' has no attribute 'compyle'"):
        _ = weft.compyle


def test_runtime_imports_without_torch_and_amaranth():
    code = "import weft, weft.program, weft.dram, weft.tools, weft.cli"
    run_blocked(code, ("amaranth", "torch", "transformers"))


@pytest.mark.parametrize("path", sorted((ROOT / "hw" / "weft_hw").rglob("*.py")), ids=str)
def test_hardware_never_imports_software(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        assert not [n for n in names if n.split(".")[0] == "weft"], f"{path}:{node.lineno}"


def test_presets_are_what_the_boards_need():
    z2, kv260, tiny = PRESETS["pynq-z2"], PRESETS["kv260"], PRESETS["tiny"]
    assert (z2.rows, z2.cols, z2.axi_ports, z2.axi_data_bits, z2.axi_protocol) == (
        16,
        16,
        2,
        64,
        "axi3",
    )
    assert (kv260.rows, kv260.cols, kv260.axi_ports, kv260.axi_data_bits) == (32, 32, 4, 128)
    assert (tiny.rows, tiny.cols) == (8, 8)
    assert (PRESETS["tiny-wide"].rows, PRESETS["tiny-wide"].cols) == (8, 16)
    # kv260 and zcu104 are the same RTL, so they have the same hash.
    assert kv260.hash == PRESETS["zcu104"].hash


def test_derived_numbers_of_the_z2():
    c = PRESETS["pynq-z2"]
    assert (c.tile_words, c.tile_bytes, c.weight_words, c.dma_bytes) == (16, 256, 4096, 16)
    assert (c.scratchpad_bytes, c.scratchpad_words, c.stripe_bytes) == (196608, 49152, 128)
    assert [c.row_cycles(b) for b in (1, 2, 4)] == [1, 1, 2]


def test_hash_follows_the_hardware_and_nothing_else():
    c = PRESETS["pynq-z2"]
    assert c.hash == c.replace(name="other", clock_mhz=150).hash
    assert c.hash != c.replace(tables=4).hash
    low, high = c.hash_words
    assert 0 <= low < 2**31 and 0 <= high < 2**31


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": 12}, "rows must be a power of two in 8..64, not 12"),
        ({"cols": 48}, "cols must be rows or 2 * rows (16 or 32), not 48"),
        ({"weight_rows_per_cycle": 3}, "weight_rows_per_cycle must be 1, 2 or 4, not 3"),
        ({"axi_ports": 3}, "axi_ports must be 1, 2 or 4, not 3"),
        ({"axi_protocol": "wishbone"}, "axi_protocol must be 'axi3' or 'axi4', not 'wishbone'"),
        ({"scratchpad_banks": 3}, "scratchpad_banks must be in 4..16, not 3"),
        ({"rows": "16"}, "rows must be int, not '16'"),
        ({"rows": True}, "rows must be int, not True"),
        (
            {"axi_data_bits": 128, "axi_ports": 4},
            "axi_ports * axi_data_bits / 8 must be rows or 2 * rows (16 or 32), "
            "not 4 * 128 / 8 = 64",
        ),
    ],
)
def test_rules_name_the_values(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        PRESETS["pynq-z2"].replace(**changes)
    assert str(caught.value) == sentence


def test_unknown_names_list_the_known():
    with pytest.raises(ConfigError, match="unknown preset 'z3'; the presets are pynq-z2, kv260"):
        preset("z3")
    with pytest.raises(ConfigError, match="unknown parameter 'lanes'; the parameters are name, "):
        PRESETS["tiny"].replace(lanes=3)


def test_config_is_frozen():
    with pytest.raises(AttributeError):
        PRESETS["tiny"].rows = 9
    assert isinstance(PRESETS["tiny"], AcceleratorConfig)


def test_fields_do_not_overlap_and_fit():
    for layout in LAYOUTS.values():
        end = 0
        for f in layout:
            assert f.offset == end
            end += f.width
        assert end == layout.used_bits <= INSTRUCTION_BYTES * 8


def test_every_level_has_its_jumps():
    matmul, setup = LAYOUTS[Opcode.MATMUL], LAYOUTS[Opcode.SETUP]
    for i in range(LOOP_LEVELS):
        assert all(f"{n}{i}" in matmul for n in ("count", "act_jump", "acc_jump"))
        assert f"result_jump{i}" in setup
        assert (f"weight_jump{i}" in matmul) == (f"parameter_jump{i}" in setup) == (i > 0)


def test_registers_do_not_overlap():
    offsets = [r.offset for r in registers.REGISTERS.values()]
    assert len(set(offsets)) == len(offsets)
    assert all(o % 4 == 0 and o < registers.REGISTER_BYTES for o in offsets)
    assert set(registers.COUNTERS) <= set(registers.REGISTERS)
    assert registers.IDENTIFIER.to_bytes(4, "big") == b"WEFT"
