"""``weft embed`` and ``weft search``: texts to vectors, and the texts nearest to a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.errors import UsageError
from weft.files.outputs import check_writable
from weft.results import Count, Positive

from . import options
from .output import print_json, print_table, progress

if TYPE_CHECKING:
    from weft.backend.opening import Where
    from weft.models.sentence import SentenceModel
    from weft_hw.config import AcceleratorConfig

__all__ = ["Embedded", "Found", "embed", "search"]

_FLOAT = "torch-cpu"


@dataclass(frozen=True)
class Embedded:
    """The file of vectors. gemms : products on the backend. seconds : wall time on this host."""

    path: Path
    texts: Positive
    dimensions: Positive
    tokens: Count
    backend: str
    scheme: str
    gemms: Count
    seconds: float


@dataclass(frozen=True)
class Found:
    """A text, the nearest first. line : of the file that was embedded."""

    rank: Positive
    line: Positive
    cosine: float
    text: str | None


def embed(
    file: options.TextFile,
    output: options.OutputFile,
    preset: options.Preset = "pynq-z2",
    backend: options.Backend = "emulator",
    scheme: options.Scheme = "static",
    keep_float: options.KeepFloat = [],
    batch: Annotated[int, typer.Option("--batch", min=1, help="Texts per product.")] = 32,
    weights: options.Weights = None,
    overlay: options.Overlay = None,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Turn each line of a file into a vector of length 1 with all-MiniLM-L6-v2.

    Lines end at line feeds. Writes float32 [texts, 384] as .npy, and beside it NAME.json, by which
    weft search knows the file that was embedded. A text is cut after 256 tokens, as the published
    model does.
    """
    from weft.models.sentence import read_texts
    from weft.models.vectors import write_vectors

    config = options.find_preset(preset)
    check_writable(output)
    content = file.read_bytes()
    texts = read_texts(content, str(file))
    board = (overlay, host, port)
    with _open_minilm(config, backend, scheme, keep_float, weights, board) as (model, accelerated):
        tokens = sum(model.tokens(texts))
        with progress(f"embedding on {backend}", len(texts)) as advance:
            vectors = model.embed(texts, batch, lambda n: advance(n))
        gemms = len(accelerated.session.runs) if accelerated else 0
    write_vectors(output, vectors, content)
    done = Embedded(
        path=output,
        texts=len(texts),
        dimensions=vectors.shape[1],
        tokens=tokens,
        backend=backend,
        scheme="float32" if accelerated is None else scheme,
        gemms=gemms,
        seconds=model.seconds,
    )
    if json:
        print_json("embed", [done], config=config)
        return
    print(
        f"{output}: {done.texts} vectors of {done.dimensions}, {tokens} tokens on {backend} "
        f"in {done.seconds:.1f} s ({gemms} products)"
    )


def search(
    vectors: Annotated[Path, typer.Argument(help="File that weft embed wrote.")],
    query: Annotated[str, typer.Option("--query", help="What to look for.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many to show.")] = 5,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="The file that was embedded, to show its lines.")
    ] = None,
    preset: options.Preset = "pynq-z2",
    backend: options.Backend = "emulator",
    scheme: options.Scheme = "static",
    weights: options.Weights = None,
    overlay: options.Overlay = None,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Find the vectors nearest to a query, by cosine."""
    from weft.models.sentence import read_texts
    from weft.models.vectors import read_vectors, require_embedded

    config = options.find_preset(preset)
    stored = read_vectors(vectors)
    lines = None
    if texts is not None:
        content = texts.read_bytes()
        lines = read_texts(content, str(texts))
        require_embedded(vectors, len(stored), texts, content, len(lines))
    if not query.strip():
        raise UsageError("the query is empty", "give some words")
    with _open_minilm(config, backend, scheme, (), weights, (overlay, host, port)) as (model, _):
        scores = stored @ model.embed([query])[0]
    best = [int(i) for i in (-scores).argsort(kind="stable")[:top]]
    found = [
        Found(rank, i + 1, float(scores[i]), None if lines is None else lines[i])
        for rank, i in enumerate(best, 1)
    ]
    if json:
        print_json("search", found, config=config)
        return
    print_table(
        f'"{query}"',
        found,
        {
            "text": lambda f: f.text,
            "line": lambda f: f.line,
            "cosine": lambda f: f"{f.cosine:.3f}",
        },
    )


@contextmanager
def _open_minilm(
    config: AcceleratorConfig,
    backend: str,
    scheme: str,
    keep_float: Sequence[str],
    weights: Path | None,
    board: Where,
) -> Iterator[tuple[SentenceModel, Any]]:
    """(the model, what runs its layers or None), ready for use, then closed.

    board : of the backend "pynq".
    """
    from weft.backend.opening import known_backend, open_backend
    from weft.models.sentence import SentenceModel

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
