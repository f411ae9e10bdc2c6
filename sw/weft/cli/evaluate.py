"""``weft evaluate``: what quantisation costs, on a retrieval set."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from weft.errors import UsageError

from .minilm import HOST, OVERLAY, PORT, known_model, show_choices
from .output import find_preset, print_json, print_table, progress

__all__ = ["command"]


def command(
    model: str = typer.Argument(..., help="minilm."),
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    backend: str = typer.Option("emulator", "--backend", help="emulator, rtl, pynq or torch-int."),
    schemes: str = typer.Option(
        "static,per-row,plain", "--schemes", help="Ways to quantise, separated by commas."
    ),
    keep_float: list[str] = typer.Option(
        [], "--keep-float", help="Name or pattern of a layer that stays on the host; repeatable."
    ),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    overlay: Optional[Path] = OVERLAY,  # noqa: UP045  (typer reads it at run time)
    host: str = HOST,
    port: int = PORT,
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Compare the quantised model with float on 300 passages and 159 queries of Weft's own."""
    known_model(model)
    config = find_preset(preset)
    names = [name.strip() for name in schemes.split(",")]
    from weft.measure.evaluate import evaluate
    from weft.models.sentence import SCHEMES, SentenceModel
    from weft.models.texts import retrieval

    for name in names:
        if name not in SCHEMES:
            raise UsageError(f"schemes are {', '.join(SCHEMES)}, not {name!r}")
    texts = retrieval()
    total = (len(texts.passages) + len(texts.queries)) * (1 + len(names))
    with progress("loading MiniLM", total) as advance:
        results = evaluate(
            SentenceModel(weights),
            texts,
            config,
            backend,
            names,
            keep_float=keep_float,
            board=(overlay, host, port),
            on_texts=lambda n, text: advance(n, text=text),
        )
    if json:
        print_json("evaluate", [r.as_dict() for r in results], config=config)
        return
    first = results[0]
    show_choices(f"{first.scheme} on {config.name}", first.layers)
    print_table(
        f"{first.passages} passages, {first.queries} queries, calibrated on "
        f"{first.calibration_texts} other texts, linear layers on {backend}, against float32",
        (
            "scheme",
            "mean cosine",
            "minimum",
            "1 %",
            "10 %",
            "median",
            "top-1 as float",
            "top-10 as float",
            "right answers",
            "right in float",
        ),
        [
            (
                r.scheme,
                f"{r.cosine_mean:.4f}",
                f"{r.cosine_min:.4f}",
                f"{r.cosine_p1:.4f}",
                f"{r.cosine_p10:.4f}",
                f"{r.cosine_median:.4f}",
                f"{r.top1_agreement:.3f}",
                f"{r.top10_agreement:.3f}",
                f"{r.answers_top1:.3f}",
                f"{r.float_answers_top1:.3f}",
            )
            for r in results
        ],
    )
