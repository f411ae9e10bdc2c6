"""What a program says of its parts: its nodes, and the fields that a run may set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from weft.files.untrusted import is_label, is_name

from .tensor import is_int, rules

__all__ = ["NodeSpan", "Patch", "PatchSite", "check_nodes"]


class PatchSite(NamedTuple):
    """Adds the value times `step` to `field` of an instruction, given by its index."""

    instruction: int
    field: str
    step: int


@dataclass(frozen=True)
class Patch:
    """A number that each run gives, for example the position of a token.

    Parameters
    ----------
    name : str
    low, high : int, the values that a run may give
    sites : sequence of PatchSite, at least one

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    name: str
    low: int
    high: int
    sites: tuple[PatchSite, ...]

    def __post_init__(self) -> None:
        rule = rules(f"patch {self.name!r}")
        rule(is_name(self.name), "the name must be letters, digits and ._-, and not start with .-")
        low, high = self.low, self.high
        rule(
            is_int(low) and is_int(high) and low <= high,
            f"low must not exceed high, not {low!r} and {high!r}",
        )
        object.__setattr__(self, "sites", tuple(PatchSite(*site) for site in self.sites))
        rule(len(self.sites) > 0, "needs a site")
        for site in self.sites:
            rule(
                is_int(site.instruction) and isinstance(site.field, str) and is_int(site.step),
                f"a site must be (instruction, field, step), not {tuple(site)}",
            )


@dataclass(frozen=True)
class NodeSpan:
    """Instructions ``first..end - 1`` that compute one node of a graph.

    Parameters
    ----------
    name, op : str
    first, end : int, instruction indices
    """

    name: str
    op: str
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.name} ({self.op})"


def check_nodes(nodes: Iterable[NodeSpan], instructions: int) -> None:
    """Refuse spans that are empty, out of order or beyond the program; raises UsageError."""
    rule, at = rules("program"), 0
    for node in nodes:
        is_named = is_label(node.name) and is_label(node.op)
        rule(is_named, f"a node needs a printable name and operator, not {str(node)[:80]!r}")
        rule(
            is_int(node.first) and is_int(node.end) and at <= node.first < node.end,
            f"nodes must follow each other, {node} has {node.first}..{node.end}",
        )
        at = node.end
    rule(at <= instructions, f"a node ends at instruction {at} of {instructions}")
