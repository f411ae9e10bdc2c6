"""Open what a command runs on: a board, or MiniLM on a backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import find_preset
from .output import progress

if TYPE_CHECKING:
    from weft.backend.pynq.backend import PynqBackend
    from weft.models.sentence import SentenceModel

__all__ = ["open_board", "open_minilm"]

_FLOAT = "torch-cpu"


def open_board(overlay: Path, host: str, port: int) -> PynqBackend | int:
    """The board, or the exit code of the Python with pynq that did the work in its place."""
    from weft.backend.pynq.environment import delegate
    from weft.bundle.manifest import Manifest
    from weft_hw.boards import pynq_board

    manifest = Manifest.load(overlay.with_suffix(".json"))
    if host:
        from weft.backend.pynq.facts import check_host

        check_host(host)
        code = delegate(pynq_board(manifest.board).pynq.package, "--overlay", str(overlay))
        if code is not None:
            return code
    from weft.backend.pynq.backend import PynqBackend

    return PynqBackend(overlay, host, port)


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
