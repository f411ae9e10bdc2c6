"""``weft models``: the built-in networks."""

from __future__ import annotations

from dataclasses import dataclass

from weft.results import Positive

from .options import Json
from .output import print_json, print_table

__all__ = ["ModelEntry", "command"]


@dataclass(frozen=True)
class ModelEntry:
    """A built-in network. input_shape : of one example. macs : multiply-accumulates of one."""

    name: str
    about: str
    input_shape: list[Positive]
    parameters: Positive
    macs: Positive


def command(json: Json = False) -> None:
    """List the built-in networks, which explain, compile, bench and evaluate take by name."""
    from weft.models.builtin import MODELS

    found = [
        ModelEntry(m.name, m.about, list(m.shape), m.parameters, m.macs) for m in MODELS.values()
    ]
    if json:
        print_json("models", found)
        return
    print_table(
        "",
        found,
        {
            "name": lambda m: m.name,
            "about": lambda m: m.about,
            "input": lambda m: "x".join(map(str, m.input_shape)),
            "parameters": lambda m: f"{m.parameters:,}",
            "MACs": lambda m: f"{m.macs:,}",
        },
        left=2,
    )
