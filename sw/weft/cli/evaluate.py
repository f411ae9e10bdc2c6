"""``weft evaluate``: what quantisation costs, on a retrieval set."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.errors import UsageError

from . import options
from .explain import show_choices
from .output import print_json, print_table, progress

__all__ = ["command"]


def command(
    model: options.Model,
    preset: options.Preset = "pynq-z2",
    backend: options.Backend = "emulator",
    schemes: Annotated[
        str, typer.Option("--schemes", help="Ways to quantise, separated by commas.")
    ] = "static,per-row,plain",
    keep_float: options.KeepFloat = [],
    weights: options.Weights = None,
    overlay: options.Overlay = None,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Compare the quantised model with float on 300 passages and 159 queries of Weft's own.

    Backends are emulator, rtl, pynq and torch-int.
    """
    options.known_model(model)
    config = options.find_preset(preset)
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
        print_json("evaluate", results, config=config)
        return
    first = results[0]
    show_choices(f"{first.scheme} on {config.name}", first.layers)
    print_table(
        f"{first.passages} passages, {first.queries} queries, calibrated on "
        f"{first.calibration_texts} other texts, linear layers on {backend}, against float32",
        results,
        {
            "scheme": lambda r: r.scheme,
            "mean cosine": lambda r: f"{r.cosine_mean:.4f}",
            "minimum": lambda r: f"{r.cosine_min:.4f}",
            "1 %": lambda r: f"{r.cosine_p1:.4f}",
            "10 %": lambda r: f"{r.cosine_p10:.4f}",
            "median": lambda r: f"{r.cosine_median:.4f}",
            "top-1 as float": lambda r: f"{r.top1_agreement:.3f}",
            "top-10 as float": lambda r: f"{r.top10_agreement:.3f}",
            "right answers": lambda r: f"{r.answers_top1:.3f}",
            "right in float": lambda r: f"{r.float_answers_top1:.3f}",
        },
    )
