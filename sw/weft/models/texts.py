"""Texts of Weft's own: sentences to calibrate on, and a retrieval set."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

__all__ = ["Retrieval", "calibration_sentences", "retrieval"]


@dataclass(frozen=True)
class Retrieval:
    """passages : texts. queries : texts. answers : index of the passage that answers each query."""

    passages: tuple[str, ...]
    queries: tuple[str, ...]
    answers: tuple[int, ...]


def _lines(name: str) -> list[str]:
    text = files("weft.models").joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def calibration_sentences() -> list[str]:
    """Sentences of many kinds, none of which is in the retrieval set."""
    return _lines("calibration.txt")


def retrieval() -> Retrieval:
    """Short passages on thirty topics, and questions that one of them answers."""
    passages: list[str] = []
    queries: list[str] = []
    answers: list[int] = []
    for line in _lines("retrieval.txt"):
        if line.startswith("? "):
            queries.append(line[2:])
            answers.append(len(passages) - 1)
        else:
            passages.append(line)
    return Retrieval(tuple(passages), tuple(queries), tuple(answers))
