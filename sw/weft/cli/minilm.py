"""What the commands around MiniLM have in common: the model, its layers, their choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from weft.errors import UsageError

from .output import find_preset, print_table, progress

if TYPE_CHECKING:
    from weft.compiler.quantise.choose import Choice
    from weft.models.sentence import SentenceModel

__all__ = ["HOST", "OVERLAY", "PORT", "known_model", "opened", "show_choices"]

#: Options of the commands that can run on a board.
OVERLAY = typer.Option(
    None, "--overlay", help="pynq: .bit of the board's overlay; by default the one that fits."
)
HOST = typer.Option("", "--host", help="pynq: the board; $WEFT_BOARD, or this machine.")
PORT = typer.Option(7967, "--port", help="pynq: of the board's PYNQ.remote server.")

FLOAT = "torch-cpu"


def known_model(name: str) -> None:
    """Refuse any model but minilm."""
    if name != "minilm":
        raise UsageError(f"there is no model {name!r}", "the models are: minilm")


@contextmanager
def opened(
    preset: str,
    backend: str,
    scheme: str,
    keep_float: Sequence[str],
    weights: Path | None,
    board: tuple[Path | None, str, int] = (None, "", 7967),
) -> Iterator[tuple[SentenceModel, Any]]:
    """(the model, what runs its layers or None), ready for use, then closed.

    board : overlay, host and port of the backend "pynq".
    """
    from weft.backend.opening import known_backend, open_backend
    from weft.models.sentence import SentenceModel

    config = find_preset(preset)
    known_backend(backend, FLOAT)
    with progress("loading MiniLM") as say:
        model = SentenceModel(weights)
        if backend != FLOAT:
            quantised = model.quantise(scheme, keep_float, lambda text: say(0, text=text))
            say(0, text=f"opening {backend} {config.name}")
            device = open_backend(
                backend, config, board=board, progress=lambda text: say(0, text=text)
            )
    if backend == FLOAT:
        yield model, None
        return
    with model.swap(quantised, device) as accelerated:
        yield model, accelerated


def show_choices(title: str, choices: Sequence[Choice]) -> None:
    """A table with one row per layer."""
    print_table(
        title,
        (
            "layer",
            "where",
            "scheme",
            "K x N",
            "result",
            "migrated",
            "SNR, dB",
            "spread",
            "why",
        ),
        [
            (
                c.layer,
                c.where,
                c.scheme,
                f"{c.k} x {c.n}",
                c.result,
                "yes" if c.migration else "no",
                None if c.snr_db is None else f"{c.snr_db:.1f}",
                None if c.output_spread is None else f"{c.output_spread:.1f}",
                c.reason,
            )
            for c in choices
        ],
        left=5,
    )
