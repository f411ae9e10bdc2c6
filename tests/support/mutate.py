"""Changes that make a hostile file of a good one: of its bytes, and of the values in its JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["changed_bytes", "changed_json"]

#: What stands where something else is expected.
_HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 16, 2**31, 2**32, 2**63, 2**64, 10**30, -(2**63), 0.5, 1e300,
    "", "x", "../../etc/passwd", "/etc/passwd", "a\nb", "\x1b[2J", "\u202e", "x" * 10_000, "int8",
    "$(id)", [], [[]], [0], [-1], [1, 2, 3], ["a"], [None] * 100, {}, {"": 0}, {"name": "x"},
)  # fmt: skip


def changed_bytes(good: bytes, rng: np.random.Generator) -> bytes:
    """`good` with one to three of its bytes, or runs of them, changed, cut, doubled or gone."""
    data = bytearray(good)
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        at = int(rng.integers(len(data)))
        end = at + int(rng.integers(1, 40))
        match int(rng.integers(6)):
            case 0:
                data[at] = int(rng.integers(256))
            case 1:
                data[at] ^= 1 << int(rng.integers(8))
            case 2:
                del data[at:]
            case 3:
                del data[at:end]
            case 4:
                data[at:at] = data[at:end]
            case 5:
                data[at:end] = rng.integers(0, 256, min(40, end - at), np.uint8).tobytes()
    return bytes(data)


def changed_json(good: Any, rng: np.random.Generator) -> Any:
    """A copy of a value of JSON, with one to three of the values in it changed or gone."""
    whole = [copy.deepcopy(good)]
    for _ in range(rng.integers(1, 4)):
        places = list(_places(whole))
        holder, key = places[int(rng.integers(len(places)))]
        match int(rng.integers(8)):
            case 0 if holder is not whole:
                del holder[key]
            case 1 if isinstance(holder, list) and holder is not whole:
                holder.append(copy.deepcopy(holder[key]))
            case 2 if isinstance(holder, dict):
                holder[f"{key}x"] = holder[key]
            case 3:
                other, from_key = places[int(rng.integers(len(places)))]
                if len(json.dumps(other)) < 100_000:
                    holder[key] = copy.deepcopy(other[from_key])
            case 4 if type(holder[key]) is int:
                holder[key] += int(rng.choice([-16, -1, 1, 16]))
            case _:
                holder[key] = copy.deepcopy(_HOSTILE[int(rng.integers(len(_HOSTILE)))])
    return whole[0]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (list or object, index or key) inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in list(items):
        yield value, key
        if isinstance(one, (dict, list)):
            yield from _places(one)
