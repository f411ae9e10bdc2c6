"""What is printed for people."""

import pytest

from weft.cli import output


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_narrow_terminal_gets_several_tables(width, monkeypatch, capsys):
    """Every cell is there in full, the first column in each table, and no line is too long."""
    rows = [(f"layer{i}", "convolution", 1000 * i, f"{i} words that wrap") for i in range(3)]
    columns = {
        "name": lambda r: r[0], "op": lambda r: r[1],
        **{f"count {k}": lambda r, k=k: r[2] + k for k in range(8)}, "why": lambda r: r[3],
    }  # fmt: skip
    monkeypatch.setattr(output, "PLAIN_WIDTH", width)
    output.print_table("title", rows, columns, left=2)
    text = capsys.readouterr().out
    assert all(len(line) <= width for line in text.splitlines()) and "\u2026" not in text
    tables = text.count("layer2")
    assert tables == {40: 6, 80: 2, 200: 1}[width] and text.count("title") == 1
    for row in rows:
        for k in range(8):
            assert str(row[2] + k) in text
