"""Pages that are written from the contract are up to date."""

from pathlib import Path

import pytest

from weft import reference

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.parametrize(
    ("page", "text"),
    [("isa.md", reference.isa_page()), ("registers.md", reference.registers_page())],
    ids=["isa", "registers"],
)
def test_generated_page_is_fresh(page, text):
    assert (DOCS / page).read_text(encoding="utf-8") == text, "run make docs"
