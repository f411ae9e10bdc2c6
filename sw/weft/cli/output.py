"""What commands write: one JSON object, tables, files; progress and errors on stderr."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from weft import __version__
from weft.errors import WeftError, WeftWarning
from weft.files.untrusted import printable
from weft.results import Count, Hash, Positive, Rule, plain

if TYPE_CHECKING:
    from weft_hw.config import AcceleratorConfig

__all__ = [
    "Envelope",
    "ErrorObject",
    "Machine",
    "machine",
    "number",
    "print_json",
    "print_table",
    "progress",
    "show_error",
    "show_reports",
    "warnings_shown",
]

T = TypeVar("T")
#: How Python names layers that stay in float, where the command line has an option.
_AS_OPTION = re.compile(r"keep_float=\['([^']*)'\]")
#: Columns of a table where stdout is no terminal.
PLAIN_WIDTH = 160


@dataclass(frozen=True)
class Machine:
    """The host: processor, cores that this process may use, system and Python."""

    cpu: str
    cores: Positive
    system: str
    python: str

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores"


@dataclass(frozen=True)
class Envelope:
    """What every --json object of weft has.

    weft : version of weft. memory_model : hash of the DRAM model's constants.
    """

    schema: Annotated[str, Rule(pattern=r"^weft\.[a-z-]+/1$")]
    weft: str
    config_hash: Hash | None
    preset: str | None
    clock_mhz: Positive | None
    memory_model: Hash | None
    seed: Count | None
    machine: Machine
    results: list[Any]


@dataclass(frozen=True)
class ErrorObject:
    """An error with --json."""

    schema: Annotated[str, Rule(const="weft.error/1")]
    code: Annotated[str, Rule(pattern="^[a-z-]+$")]
    message: Annotated[str, Rule(minLength=1)]
    remedy: str


def machine() -> Machine:
    """The host that this runs on."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    except OSError:
        pass
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux can say
        cores = os.cpu_count() or 1
    system = f"{platform.system()} {platform.release()}"
    return Machine(processor, cores, system, platform.python_version())


def print_json(
    command: str,
    results: Sequence[Any],
    *,
    config: AcceleratorConfig | None = None,
    clock_mhz: int | None = None,
    memory_model: str | None = None,
    seed: int | None = None,
) -> None:
    """Print the one object of ``--json``.

    Parameters
    ----------
    command : str
        Names the schema: ``weft.<command>/1``.
    results : dataclasses, or objects of JSON
        As the schema says.
    config, clock_mhz, memory_model, seed
        None where the command has no such thing.
    """
    whole = Envelope(
        schema=f"weft.{command}/1",
        weft=__version__,
        config_hash=config.hash if config else None,
        preset=config.name if config else None,
        clock_mhz=clock_mhz,
        memory_model=memory_model,
        seed=seed,
        machine=machine(),
        results=list(results),
    )
    print(json.dumps(plain(whole), indent=2))


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Say warnings of Weft as sentences on stderr, without places in the code."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, WeftWarning):
                sys.stderr.write(f"weft: {message}\n")
            else:
                shown(message, category, *place, **more)

        warnings.showwarning = show
        yield


def show_error(error: WeftError, as_json: bool) -> int:
    """Print `error`; its exit code."""
    error.remedy = _AS_OPTION.sub(r"--keep-float \1", error.remedy)
    if as_json:
        said = ErrorObject("weft.error/1", error.code, error.message, error.remedy)
        print(json.dumps(plain(said)))
    else:
        sys.stderr.write(f"weft: {printable(str(error))}\n")
    return error.exit_code


def number(value: float | None, form: str) -> str | None:
    """A cell of a table: `value` in a format, None where there is none."""
    return None if value is None else format(value, form)


def print_table(
    title: str, results: Iterable[T], columns: Mapping[str, Callable[[T], object]], left: int = 1
) -> None:
    """Print a table on stdout: a row a result, its cells from the functions of the columns.

    The first `left` columns align left, the others right. A cell that is None is a dash. What a
    terminal is too narrow for stands in further tables, each with the first column again.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    rows = [
        ["-" if found is None else str(found) for found in (cell(r) for cell in columns.values())]
        for r in results
    ]
    names = list(columns)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    for number, part in enumerate(_fitting(names, rows, left, console.width)):
        table = Table(
            title=(title or None) if number == 0 else None, title_justify="left",
            title_style="bold", box=SIMPLE_HEAD, expand=False,
        )  # fmt: skip
        for i in part:
            table.add_column(names[i], justify="left" if i < left else "right", no_wrap=i < left)
        for row in rows:
            table.add_row(*(row[i] for i in part))
        console.print(table)


#: Characters of a cell of several words that stay in one line.
_WRAP = 20


def _fitting(
    names: Sequence[str], rows: Sequence[Sequence[str]], left: int, width: int
) -> list[list[int]]:
    """Columns of each table, so that none is wider than `width`, as far as that can be."""

    def size(i: int) -> int:
        words = max(len(word) for row in [names, *rows] for word in (row[i].split() or [""]))
        whole = max(len(row[i]) for row in [names, *rows])
        return 3 + (whole if i < left else max(words, min(whole, _WRAP)))

    parts, used = [[0]], size(0)
    for i in range(1, len(names)):
        if used + size(i) > width - 2 and parts[-1] != [0]:
            parts.append([0])
            used = size(0)
        parts[-1].append(i)
        used += size(i)
    return parts


def show_reports(
    command: str, config: AcceleratorConfig, reports: Sequence[dict[str, Any]], as_json: bool
) -> None:
    """Print what ran on a board, as :func:`weft.deploy.remote.as_results` gives it."""
    if as_json:
        print_json(command, reports, config=config)
        return
    first = reports[0]
    print_table(
        f"{first['board']}: {config.name} ({config.hash}) at {first['clock_mhz']:g} MHz, "
        f"accelerator times are {first['label']}",
        reports,
        {
            "what": lambda r: r["what"],
            "cycles": lambda r: f"{r['cycles']:,}",
            "accelerator ms": lambda r: f"{r['accelerator_ms']:.3f}",
            "run ms": lambda r: f"{r['seconds'] * 1000:.1f}",
            "register accesses": lambda r: r["accesses"],
            "equals emulator": lambda r: "yes",
        },
    )


@contextmanager
def progress(text: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar with elapsed time on stderr, removed at the end; silent where nobody looks.

    `total` None stands for a wait of unknown length. Gives a function of how many more steps are
    finished (1 by default), and of `text`, what comes next.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(text, total=total)

        def advance(done: int = 1, /, *, text: str | None = None) -> None:
            bar.update(task, advance=done, description=text)

        yield advance
