"""``weft search``: the texts nearest to a question."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from weft.errors import UsageError

from .files import read_bytes
from .minilm import HOST, OVERLAY, PORT, opened
from .output import find_preset, print_json, print_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["command"]


def command(
    vectors: Path = typer.Argument(..., help="File that weft embed wrote."),
    query: str = typer.Option(..., "--query", help="What to look for."),
    top: int = typer.Option(5, "--top", min=1, help="How many to show."),
    texts: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--texts", help="The file that was embedded, to show its lines."
    ),
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    backend: str = typer.Option(
        "emulator", "--backend", help="emulator, rtl, pynq, torch-int, or torch-cpu (float)."
    ),
    scheme: str = typer.Option("static", "--scheme", help="static, per-row or plain."),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    overlay: Optional[Path] = OVERLAY,  # noqa: UP045  (typer reads it at run time)
    host: str = HOST,
    port: int = PORT,
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Find the vectors nearest to a query, by cosine."""
    from weft.models.sentence import read_texts

    config = find_preset(preset)
    stored = _vectors(vectors)
    lines = None if texts is None else read_texts(read_bytes(texts), str(texts))
    if lines is not None and len(lines) != len(stored):
        raise UsageError(
            f"{texts} has {len(lines)} lines, {vectors} has {len(stored)} vectors",
            "give the file that was embedded",
        )
    if not query.strip():
        raise UsageError("the query is empty", "give some words")
    with opened(preset, backend, scheme, (), weights, (overlay, host, port)) as (model, _):
        scores = stored @ model.embed([query])[0]
    best = [int(i) for i in (-scores).argsort(kind="stable")[:top]]
    results = [
        {
            "rank": rank,
            "line": i + 1,
            "cosine": float(scores[i]),
            "text": None if lines is None else lines[i],
        }
        for rank, i in enumerate(best, 1)
    ]
    if json:
        print_json("search", results, config=config)
        return
    print_table(
        f'"{query}"',
        ("text", "line", "cosine"),
        [(r["text"], r["line"], f"{r['cosine']:.3f}") for r in results],
    )


def _vectors(path: Path) -> NDArray[np.float32]:
    """Float32 [texts, 384] of a file that weft embed wrote."""
    import numpy as np

    try:
        found: Any = np.load(io.BytesIO(read_bytes(path)), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise UsageError(f"{path} is no .npy file", "write one with weft embed") from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.shape[1] != 384:
        raise UsageError(f"{path} holds no vectors [texts, 384]", "write one with weft embed")
    return found.astype(np.float32)
