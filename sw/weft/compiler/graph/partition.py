"""Where each operator runs, why, and in which order host and accelerator take turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .network import BORDERS, Network, Operator

__all__ = ["Segment", "partition", "why_on_host"]


@dataclass(frozen=True, eq=False)
class Segment:
    """Operators that run one after the other at one place.

    Parameters
    ----------
    on_chip : all of them run on the accelerator, in one program; else on the host.
    operators : in order
    inputs, outputs : names of the values that come from outside, and that are needed there.
    """

    on_chip: bool
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def partition(network: Network) -> list[Segment]:
    """The segments of `network`, in the order in which they run; as few as there can be.

    An operator on the host goes behind the last program that it needs, one on chip behind the last
    work of the host that it needs.
    """
    turn: dict[str, int] = dict.fromkeys(network.inputs, 0)
    placed: dict[tuple[int, bool], list[Operator]] = {}
    for op in network.operators:
        # Host turn h comes before program h, and program h before host turn h + 1.
        found = 0
        for name in op.inputs:
            producer = network.producers.get(name)
            later = producer is not None and producer.on_chip and not op.on_chip
            found = max(found, turn[name] + later)
        turn[op.output] = found
        placed.setdefault((found, op.on_chip), []).append(op)
    segments = []
    for key in sorted(placed):
        operators = placed[key]
        own = {op.output for op in operators}
        read = dict.fromkeys(name for op in operators for name in op.inputs)
        inside = set(operators)
        kept = [
            op.output
            for op in operators
            if op.output in network.outputs or set(network.consumers[op.output]) - inside
        ]
        inputs = tuple(name for name in read if name not in own)
        segments.append(Segment(key[1], tuple(operators), inputs, tuple(kept)))
    return segments


def why_on_host(network: Network, op: Operator, reasons: Mapping[str, str]) -> str:
    """Why an operator that runs on the host does."""
    if op.op in BORDERS:
        return "between integers and reals"
    if op.name in reasons:
        return reasons[op.name]
    if op.op in ("conv2d", "linear") and "integers" not in op.constants:
        return "its weights stay in float"
    readers = network.consumers[op.output]
    if not any(reader.op == "quantise" for reader in readers):
        return "its result is not quantised"
    return "the accelerator has no such operator"
