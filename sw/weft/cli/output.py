"""What commands write: one JSON object or tables on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from weft import __version__
from weft.errors import UsageError, WeftError

if TYPE_CHECKING:
    from weft_hw.config import AcceleratorConfig

__all__ = [
    "Advance",
    "find_preset",
    "machine",
    "print_json",
    "print_table",
    "progress",
    "show_error",
]

#: Columns of a table where stdout is no terminal.
PLAIN_WIDTH = 160


def machine() -> dict[str, str | int]:
    """The host: processor, cores that this process may use, system and Python."""
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
    return {
        "cpu": processor,
        "cores": cores,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def print_json(
    command: str,
    results: Sequence[dict[str, Any]],
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
    results : list of dict
        As the schema says.
    config, clock_mhz, memory_model, seed
        None where the command has no such thing.
    """
    print(
        json.dumps(
            {
                "schema": f"weft.{command}/1",
                "weft": __version__,
                "config_hash": config.hash if config else None,
                "preset": config.name if config else None,
                "clock_mhz": clock_mhz,
                "memory_model": memory_model,
                "seed": seed,
                "machine": machine(),
                "results": list(results),
            },
            indent=2,
        )
    )


def show_error(error: WeftError, as_json: bool) -> int:
    """Print `error`; its exit code."""
    if as_json:
        print(
            json.dumps(
                {
                    "schema": "weft.error/1",
                    "code": error.code,
                    "message": error.message,
                    "remedy": error.remedy,
                }
            )
        )
    else:
        sys.stderr.write(f"weft: {error}\n")
    return error.exit_code


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], left: int = 1
) -> None:
    """Print a table on stdout; the first `left` columns align left, the others right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, expand=False
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=i < left)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    console.print(table)


class Advance(Protocol):
    """Reports progress: `done` more steps are finished, and what comes next."""

    def __call__(self, done: int = 1, /, *, text: str | None = None) -> None: ...


@contextmanager
def progress(text: str, total: int | None = None) -> Iterator[Advance]:
    """A progress bar with elapsed time on stderr, removed at the end; silent where nobody looks.

    `total` None stands for a wait of unknown length.
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


def find_preset(name: str) -> AcceleratorConfig:
    """The preset `name`, or the usage error that lists those that exist."""
    from weft_hw.config import ConfigError, preset

    try:
        return preset(name)
    except ConfigError as error:
        raise UsageError(str(error), "see weft presets") from None
