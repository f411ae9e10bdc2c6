"""The measured tables of matrix products: written by ``python sim/measured.py``, checked by tests.

The command runs every shape of :data:`SHAPES` on the RTL, twice: with the DRAM model's latencies
and with these doubled. It writes the rows between the markers of ``docs/measured.md`` and of
``README.md``.
``sim/test_attainment.py`` compares each product that it runs with its row, so that a table cannot
say what the RTL does not do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weft.measure.bench import GemmBench, GemmResult, random_runs
from weft_hw.config import preset

__all__ = ["PAGES", "SHAPES", "Row", "documented", "measure", "write"]

ROOT = Path(__file__).resolve().parent.parent
Shape = tuple[int, int, int]

#: Products of docs/measured.md; the last ones of a preset are small or ragged.
SHAPES: dict[str, tuple[Shape, ...]] = {
    "pynq-z2": (
        (128, 384, 384), (256, 384, 384), (128, 384, 1536), (128, 1536, 384), (128, 768, 3072),
        (196, 512, 512), (3136, 64, 128), (12544, 32, 64), (1, 384, 1536), (1, 2048, 5632),
        (1, 4096, 4096), (16, 16, 16), (1, 7, 5), (37, 100, 77), (129, 385, 33),
    ),
    "kv260": ((512, 1024, 1024), (1, 4096, 4096), (1, 2048, 5632)),
}  # fmt: skip
#: Products of README.md.
FRONT: dict[str, tuple[Shape, ...]] = {
    "pynq-z2": (
        (128, 384, 384), (128, 768, 3072), (12544, 32, 64), (1, 384, 1536), (1, 4096, 4096),
    ),
    "kv260": ((512, 1024, 1024), (1, 4096, 4096)),
}  # fmt: skip
PAGES = ("docs/measured.md", "README.md")

_BEGIN = "<!-- BEGIN MEASURED: python sim/measured.py{} -->"
_END = "<!-- END MEASURED -->"
_HEAD = (
    "| M x K x N | cycles | roofline | attainment | predicted | simulated ms | "
    "attainment, latencies doubled |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
)
_FRONT_HEAD = (
    "| preset, clock | M x K x N | cycles | attainment | predicted |\n"
    "| --- | --- | ---: | ---: | ---: |\n"
)


@dataclass(frozen=True)
class Row:
    """One product as the tables print it: text, for what they do not print is not compared."""

    shape: str
    cycles: str
    roofline: str
    attainment: str
    predicted: str
    simulated_ms: str
    doubled: str

    @classmethod
    def of(cls, result: GemmResult, doubled: GemmResult) -> Row:
        """The row of a product, run with the latencies of the model and with these doubled."""
        return cls(
            f"{result.m}x{result.k}x{result.n}",
            f"{result.cycles:,}",
            f"{result.roofline_cycles:,.0f}",
            cls.ratio(result),
            f"{round(result.model_error, 4) or 0.0:+.2%}".replace("%", " %"),
            f"{result.simulated_ms:.3f}",
            cls.ratio(doubled),
        )

    @staticmethod
    def ratio(result: GemmResult) -> str:
        """Attainment as printed."""
        return f"{result.attainment:.3f}"

    def line(self) -> str:
        """The row in Markdown."""
        cells = (
            self.shape, self.cycles, self.roofline, self.attainment, self.predicted,
            self.simulated_ms, self.doubled,
        )  # fmt: skip
        return f"| {' | '.join(cells)} |\n"


def documented(page: str | None = None) -> dict[tuple[str, Shape], Row]:
    """Rows of the tables of ``docs/measured.md``; `page` is its text, where it is another."""
    text = (ROOT / PAGES[0]).read_text(encoding="utf-8") if page is None else page
    found = {}
    for name in SHAPES:
        body = _between(text, name)
        for line in body.splitlines()[2:]:
            row = Row(*(cell.strip() for cell in line.strip("|").split("|")))
            m, k, n = map(int, row.shape.split("x"))
            found[name, (m, k, n)] = row
    return found


def _span(text: str, name: str) -> tuple[int, int]:
    begin = _BEGIN.format(f" {name}" if name else "")
    start = text.index(begin) + len(begin) + 1
    return start, text.index(_END, start)


def _between(text: str, name: str) -> str:
    start, end = _span(text, name)
    return text[start:end].strip("\n")


def measure(name: str, say: Callable[[str], None]) -> list[Row]:
    """Run all shapes of a preset, with the latencies of its DRAM model and with these doubled."""
    shapes, results = list(SHAPES[name]), []
    for factor in (1, 2):
        bench = GemmBench(preset(name), "rtl", latency_factor=factor, progress=say)
        try:
            results.append(random_runs(
                bench, shapes, "int8", 0, lambda r: say(f"{name} {r.m}x{r.k}x{r.n}: {r.cycles}")
            ))  # fmt: skip
        finally:
            bench.close()
    return [Row.of(one, two) for one, two in zip(*results, strict=True)]


def front_table(rows: dict[tuple[str, Shape], Row]) -> str:
    """The table of README.md from the rows of ``docs/measured.md``."""
    lines = [_FRONT_HEAD]
    for name, shapes in FRONT.items():
        title = f"{name}, {preset(name).clock_mhz} MHz"
        for shape in shapes:
            row = rows[name, shape]
            lines.append(
                f"| {title} | {row.shape} | {row.cycles} | {row.attainment} | {row.predicted} |\n"
            )
            title = ""
    return "".join(lines)


def write(tables: dict[str, list[Row]]) -> None:
    """Put the rows of each preset between its markers, and what README shows of them."""
    path = ROOT / PAGES[0]
    text = path.read_text(encoding="utf-8")
    for name, rows in tables.items():
        start, end = _span(text, name)
        text = text[:start] + _HEAD + "".join(row.line() for row in rows) + text[end:]
    path.write_text(text, encoding="utf-8")
    front = ROOT / PAGES[1]
    text = front.read_text(encoding="utf-8")
    start, end = _span(text, "")
    front.write_text(text[:start] + front_table(documented()) + text[end:], encoding="utf-8")


def main() -> None:
    """Command line: the presets to measure; all by default."""
    names = sys.argv[1:] or list(SHAPES)
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        sys.exit(f"no table of {unknown[0]}; the tables are of {', '.join(SHAPES)}")
    write({name: measure(name, lambda text: print(text, file=sys.stderr)) for name in names})


if __name__ == "__main__":
    main()
