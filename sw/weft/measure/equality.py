"""Equality of results, element by element, with a report that names the first difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import Mismatch
from weft_hw.config import AcceleratorConfig

__all__ = ["describe_difference", "require_exact"]


def describe_difference(
    got: NDArray[np.integer[Any]],
    want: NDArray[np.integer[Any]],
    *,
    layer: str,
    config: AcceleratorConfig,
    got_name: str,
    want_name: str = "torch-int",
) -> str | None:
    """One sentence on the first difference in row-major order; None where all elements are equal.

    Parameters
    ----------
    got, want : int [M, N]
    layer : str
        What was computed, for people.
    config : AcceleratorConfig
        Its columns say which tile an element belongs to.
    got_name, want_name : str
        Who computed each.
    """
    if got.shape != want.shape:
        return (
            f"layer {layer!r}: {got_name} gives shape {list(got.shape)}, "
            f"{want_name} gives {list(want.shape)}"
        )
    differs = got.astype(np.int64) != want.astype(np.int64)
    count = int(np.count_nonzero(differs))
    if not count:
        return None
    m, n = (int(i) for i in np.argwhere(differs)[0])
    tile, cols = n // config.cols, config.cols
    last = min((tile + 1) * cols, got.shape[1]) - 1
    return (
        f"layer {layer!r}, tile {tile} (columns {tile * cols}..{last}): element [{m}, {n}] is "
        f"{int(got[m, n])} on {got_name} and {int(want[m, n])} on {want_name}; "
        f"{count} of {got.size} elements differ"
    )


def require_exact(difference: str | None) -> None:
    """Refuse results that differ; `difference` is what :func:`describe_difference` said of them.

    Raises
    ------
    Mismatch
        With that sentence.
    """
    if difference is not None:
        raise Mismatch(difference, "this is a defect of Weft: please report it with the command")
