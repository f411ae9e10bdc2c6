"""``weft embed``: texts to vectors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Optional

import typer

from .files import read_bytes, write_bytes
from .minilm import HOST, OVERLAY, PORT, opened
from .output import find_preset, print_json, progress

__all__ = ["command"]


def command(
    file: Path = typer.Argument(..., help="One text per line, UTF-8."),
    output: Path = typer.Option(..., "-o", "--output", help="Vectors, float32 .npy [texts, 384]."),
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    backend: str = typer.Option(
        "emulator", "--backend", help="emulator, rtl, pynq, torch-int, or torch-cpu (float)."
    ),
    scheme: str = typer.Option("static", "--scheme", help="static, per-row or plain."),
    keep_float: list[str] = typer.Option(
        [], "--keep-float", help="Name or pattern of a layer that stays on the host; repeatable."
    ),
    batch: int = typer.Option(32, "--batch", min=1, help="Texts per product."),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    overlay: Optional[Path] = OVERLAY,  # noqa: UP045  (typer reads it at run time)
    host: str = HOST,
    port: int = PORT,
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Turn each line of a file into a vector of length 1 with all-MiniLM-L6-v2."""
    import numpy as np

    from weft.models.sentence import read_texts

    config = find_preset(preset)
    texts = read_texts(read_bytes(file), str(file))
    board = (overlay, host, port)
    with opened(preset, backend, scheme, keep_float, weights, board) as (model, accelerated):
        tokens = sum(model.tokens(texts))
        with progress(f"embedding on {backend}", len(texts)) as advance:
            vectors = model.embed(texts, batch, lambda n: advance(n))
        gemms = len(accelerated.session.runs) if accelerated else 0
    data = io.BytesIO()
    np.save(data, vectors)
    write_bytes(output, data.getvalue())
    result = {
        "path": str(output),
        "texts": len(texts),
        "dimensions": vectors.shape[1],
        "tokens": tokens,
        "backend": backend,
        "scheme": "float32" if accelerated is None else scheme,
        "gemms": gemms,
        "seconds": model.seconds,
    }
    if json:
        print_json("embed", [result], config=config)
        return
    print(
        f"{output}: {len(texts)} vectors of {vectors.shape[1]}, {tokens} tokens on {backend} "
        f"in {model.seconds:.1f} s ({gemms} products)"
    )
