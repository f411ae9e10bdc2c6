"""Open what a command runs on: MiniLM on a backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import find_preset
from .output import progress

if TYPE_CHECKING:
    from weft.models.sentence import SentenceModel

__all__ = ["open_minilm"]

_FLOAT = "torch-cpu"


@contextmanager
def open_minilm(
    preset: str,
    backend: str,
    scheme: str,
    keep_float: Sequence[str],
    weights: Path | None,
    board: tuple[Path | None, str, int] | None = None,
) -> Iterator[tuple[SentenceModel, Any]]:
    """(the model, what runs its layers or None), ready for use, then closed.

    board : overlay, host and port of the backend "pynq".
    """
    from weft.backend.opening import known_backend, open_backend
    from weft.models.sentence import SentenceModel

    config = find_preset(preset)
    known_backend(backend, _FLOAT)
    with progress("loading MiniLM") as say:
        model = SentenceModel(weights)
        if backend != _FLOAT:
            quantised = model.quantise(scheme, keep_float, lambda text: say(0, text=text))
            say(0, text=f"opening {backend} {config.name}")
            device = open_backend(
                backend, config, board=board, progress=lambda text: say(0, text=text)
            )
    if backend == _FLOAT:
        yield model, None
        return
    with model.swap(quantised, device) as accelerated:
        yield model, accelerated
