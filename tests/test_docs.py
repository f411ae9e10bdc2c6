"""Generated reference pages are fresh and complete."""

from pathlib import Path

import pytest

from weft_hw import docgen
from weft_hw.isa import ERROR_TEXT, LAYOUTS, ErrorCode, Opcode
from weft_hw.registers import REGISTERS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", docgen.PAGES)
def test_fresh(name):
    text = docgen.PAGES[name]()
    assert (ROOT / name).read_text() == text, f"{name} is stale; run python -m weft_hw.docgen"


def test_isa_page_is_complete():
    page = docgen.isa_page()
    for opcode in Opcode:
        assert f"## {opcode.name}\n" in page
        for field in LAYOUTS[opcode]:
            assert f"| `{field.name}` |" in page
    for code in ErrorCode:
        assert f"| {int(code)} | {code.name} | {ERROR_TEXT[code]} |" in page


def test_registers_page_is_complete():
    page = docgen.registers_page()
    for register in REGISTERS.values():
        assert f"| `{register.offset:#05x}` | `{register.name}` |" in page


def test_check_finds_stale_pages(tmp_path, capsys):
    assert docgen.main(["--check", "--root", str(tmp_path)]) == 1
    assert "docs/isa.md is stale" in capsys.readouterr().err
    assert docgen.main(["--root", str(tmp_path)]) == 0
    assert docgen.main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / "docs" / "isa.md").write_text("old")
    assert docgen.main(["--check", "--root", str(tmp_path)]) == 1
