"""``weft explain``: which layers run where, how they are quantised, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from .minilm import known_model, show_choices
from .output import find_preset, print_json, progress

__all__ = ["command"]


def command(
    model: str = typer.Argument(..., help="minilm."),
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    scheme: str = typer.Option("static", "--scheme", help="static, per-row or plain."),
    keep_float: list[str] = typer.Option(
        [], "--keep-float", help="Name or pattern of a layer that stays on the host; repeatable."
    ),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
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
        for name, graph in quantised.graphs.items():
            check_fit(name, graph, config, memory_of(config))
    choices = quantised.choices
    if json:
        print_json("explain", [c.as_dict() for c in choices], config=config)
        return
    title = f"all-MiniLM-L6-v2 on {config.name}, linear layers; the rest runs on the host"
    show_choices(title, choices)
