"""A source of decisions: hypothesis, or a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

__all__ = ["Choices"]

T = TypeVar("T")


class Choices:
    """A source of decisions."""

    def __init__(self, integer: Any) -> None:
        #: integer(low, high) -> int, both included
        self.integer = integer

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return bool(self.integer(0, 99) < percent)
