"""Who owns which bytes of the arena of a program."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .nest import grid
from .tensor import MAX_ARENA_BYTES, TensorSpec, rules

__all__ = ["Constants", "check_places", "first_values"]

#: (offset, bytes) of each, by ascending offsets.
Constants = Sequence[tuple[int, bytes]]
#: Runs of interleaved tensors that are compared one by one; a tensor of more counts as one run.
MAX_RUNS = 1 << 20


def first_values(constants: Constants, states: Iterable[TensorSpec]) -> Constants:
    """The constants that lie inside one of the states."""
    spans = sorted((s.offset, s.end) for s in states)

    def inside(offset: int, data: bytes) -> bool:
        at = bisect_right(spans, (offset, MAX_ARENA_BYTES)) - 1
        return at >= 0 and offset + len(data) <= spans[at][1]

    return [constant for constant in constants if inside(*constant)]


def check_places(
    arena_bytes: int,
    code: tuple[int, int],
    constants: Constants,
    tensors: Mapping[str, Mapping[str, TensorSpec]],
) -> None:
    """Refuse what lies beyond the arena, and two owners of a byte; UsageError names them.

    Inputs and outputs may interleave run by run; a state owns all to its end.

    Parameters
    ----------
    code : (offset, bytes) of the instructions
    constants : those inside a state are its first values
    tensors : "state", "input" and "output" -> name -> TensorSpec
    """
    rule = rules("program")
    for (a, data), (b, _) in zip(constants, constants[1:]):
        both = f"the constant at {a} and the constant at {b}"
        rule(a + len(data) <= b, f"{both} overlap in the arena")
    inside = dict(first_values(constants, tensors["state"].values()))
    spans = [("the program", code[0], sum(code))]
    spans += [(f"the constant at {o}", o, o + len(d)) for o, d in constants if o not in inside]
    fixed = len(spans)
    for kind, specs in tensors.items():
        spans += [(f"{kind} {s.name!r}", s.offset, s.end) for s in specs.values()]
    for owner, _, end in spans:
        where = f"beyond the arena of {arena_bytes} bytes"
        rule(end <= arena_bytes, f"{owner} ends at byte {end}, {where}")
    limit = MAX_RUNS // max(1, len(spans) - fixed)
    runs = [(np.array([start], np.int64), end - start) for _, start, end in spans[:fixed]]
    for kind, specs in tensors.items():
        runs += [_runs(spec, 1 if kind == "state" else limit) for spec in specs.values()]
    starts = np.concatenate([first for first, _ in runs])
    ends = np.concatenate([first + size for first, size in runs])
    owners = np.repeat(np.arange(len(runs)), [len(first) for first, _ in runs])
    order = np.argsort(starts, kind="stable")
    clash = np.flatnonzero(ends[order][:-1] > starts[order][1:])
    if len(clash):
        first, second = (spans[owners[order[clash[0] + i]]][0] for i in (0, 1))
        rule(False, f"{first} and {second} overlap in the arena")


def _runs(spec: TensorSpec, limit: int) -> tuple[NDArray[np.int64], int]:
    """(first bytes, size) of the runs of a tensor; one run where there are more than `limit`."""
    if math.prod(count for _, count in spec.run_levels) > limit:
        return np.array([spec.offset], np.int64), spec.end - spec.offset
    return grid(spec.offset, spec.run_levels), spec.run_bytes
