"""``weft explain``: which layers run where, how they are quantised, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .options import Json, KeepFloat, Model, Preset, Scheme, Weights, find_preset, known_model
from .output import number, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.compiler.quantise.choose import Choice

__all__ = ["command", "show_choices"]


def command(
    model: Model,
    preset: Preset = "pynq-z2",
    scheme: Scheme = "static",
    keep_float: KeepFloat = [],
    weights: Weights = None,
    json: Json = False,
) -> None:
    """Each linear layer: where it runs, how it is quantised, its signal to noise, and why."""
    known_model(model)
    config = find_preset(preset)
    from weft.dram import memory_of
    from weft.models.sentence import SentenceModel
    from weft.runtime.session import check_fit

    with progress("loading MiniLM") as say:
        quantised = SentenceModel(weights).quantise(
            scheme, keep_float, lambda text: say(0, text=text)
        )
        for name, layer in quantised.layers.items():
            check_fit(name, layer.graph, config, memory_of(config))
    choices = quantised.choices
    if json:
        print_json("explain", choices, config=config)
        return
    share = f"{quantised.coverage:.1%} of the multiplications of a sentence"
    title = f"all-MiniLM-L6-v2 on {config.name}, linear layers: {share}; the rest runs on the host"
    show_choices(title, choices)


def show_choices(title: str, choices: Sequence[Choice]) -> None:
    """A table with one row per layer."""
    print_table(
        title,
        choices,
        {
            "layer": lambda c: c.layer,
            "where": lambda c: c.where,
            "scheme": lambda c: c.scheme,
            "K x N": lambda c: f"{c.k} x {c.n}",
            "result": lambda c: c.result,
            "migrated": lambda c: "yes" if c.migration else "no",
            "SNR, dB": lambda c: number(c.snr_db, ".1f"),
            "spread": lambda c: number(c.output_spread, ".1f"),
            "why": lambda c: c.reason,
        },
        left=5,
    )
