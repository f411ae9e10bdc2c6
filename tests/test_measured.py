"""The tables of measured products say the same everywhere, and of every product that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

import measured

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / measured.PAGES[0]).read_text()


def test_every_product_has_a_row():
    named = {(name, shape) for name, shapes in measured.SHAPES.items() for shape in shapes}
    assert set(measured.documented()) == named


def test_the_front_page_says_what_the_table_says():
    assert measured.front_table(measured.documented()) in (ROOT / "README.md").read_text()


def test_another_number_is_another_row():
    rows = measured.documented()
    row = rows["pynq-z2", (128, 384, 384)]
    changed = measured.documented(PAGE.replace(row.cycles, "1"))
    assert changed["pynq-z2", (128, 384, 384)] != row
    with pytest.raises(ValueError):
        measured.documented(PAGE.replace("<!-- BEGIN MEASURED", "<!-- "))
