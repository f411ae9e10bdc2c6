"""Open what a command runs on: a board, or MiniLM on a backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft.errors import UsageError

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
    from weft_hw.pynq_boards import pynq_board

    manifest = Manifest.load(overlay.with_suffix(".json"))
    if host:
        from weft.backend.pynq.facts import check_host

        check_host(host)
        code = delegate(pynq_board(manifest.board).pynq, "--overlay", str(overlay))
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
    """(the model, what :func:`weft.accelerate` gave or None), ready for use, then closed.

    board : overlay, host and port of the backend "pynq".
    """
    from weft.backend.pynq.process import open_pynq
    from weft.models.sentence import SentenceModel
    from weft.runtime.products import BACKENDS

    config = find_preset(preset)
    if backend != _FLOAT and backend not in BACKENDS:
        names = ", ".join((*BACKENDS, _FLOAT))
        raise UsageError(f"backend must be one of {names}, not {backend!r}")
    with progress("loading MiniLM") as say:
        model = SentenceModel(weights)
        if backend != _FLOAT:
            accelerated = model.accelerate(
                config,
                backend,
                scheme,
                keep_float,
                progress=lambda text: say(0, text=text),
                device=open_pynq(config, *(board or ())) if backend == "pynq" else None,
            )
    if backend == _FLOAT:
        yield model, None
        return
    with accelerated:
        yield model, accelerated
