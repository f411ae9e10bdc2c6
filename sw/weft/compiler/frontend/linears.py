"""The linear layers of a torch model: which there are, which are meant, their weights in numpy."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["FloatLinear", "float_linear", "linear_layers", "matching"]


@dataclass(frozen=True)
class FloatLinear:
    """Weight float [N, K] and bias float [N] or None of one layer."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def linear_layers(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """The ``nn.Linear`` layers of `model` by name.

    Raises
    ------
    UsageError
        There is none, or `model` is one.
    """
    import torch

    if isinstance(model, torch.nn.Linear):
        raise UsageError(
            "the model is itself a linear layer, so there is no place to swap it in",
            "give torch.nn.Sequential(model)",
        )
    found = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    if not found:
        raise UsageError(
            f"{type(model).__name__} has no nn.Linear layer, so there is nothing to accelerate",
            "give a model with linear layers",
        )
    return found


def matching(names: Sequence[str], patterns: Sequence[str], what: str) -> dict[str, str]:
    """Layer -> the pattern that names it; a pattern that names none is refused.

    Raises
    ------
    UsageError
        `what`, the pattern, and names that are near to it.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        chosen = [n for n in names if fnmatchcase(n, pattern)]
        if not chosen:
            near = difflib.get_close_matches(pattern, names, 3, 0.3) or list(names)[:3]
            raise UsageError(
                f"{what}: no linear layer is called {pattern!r}", f"there are {', '.join(near)}"
            )
        found |= dict.fromkeys(chosen, pattern)
    return found


def float_linear(layer: torch.nn.Linear) -> FloatLinear:
    """Weight and bias of a layer as float32 arrays on the host."""
    bias = None if layer.bias is None else layer.bias.detach().float().cpu().numpy()
    return FloatLinear(layer.weight.detach().float().cpu().numpy(), bias)
