"""The linear layers of a torch model: which there are, which may leave torch, their weights.

A layer is linear by what its forward pass is, not by its class: a subclass of ``nn.Linear`` with a
forward of its own computes something else. The ``Conv1D`` of transformers is a linear layer whose
weights lie the other way round.
"""

from __future__ import annotations

import difflib
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

from .redirect import Redirect

if TYPE_CHECKING:
    import torch

__all__ = [
    "FloatLinear",
    "checksum",
    "float_linear",
    "linear_layers",
    "matching",
    "sizes",
    "why_not",
]

#: Where transformers keeps its linear layer with weights [K, N]; not imported, only recognised.
_CONV1D = "transformers.pytorch_utils"


@dataclass(frozen=True)
class FloatLinear:
    """Weight float [N, K] and bias float [N] or None of one layer."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def _conv1d() -> tuple[type, ...]:
    found = getattr(sys.modules.get(_CONV1D), "Conv1D", None)
    return () if found is None else (found,)


def _forwards() -> list[Any]:
    import torch

    return [kind.forward for kind in (torch.nn.Linear, *_conv1d())]


def linear_layers(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The ``nn.Linear`` and ``Conv1D`` modules of `model` by name, subclasses included.

    Raises
    ------
    UsageError
        `model` is no module, it has no such layer, or its weights are not there (device "meta").
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"the model must be a torch.nn.Module, not {_described(model)}",
            "put what it computes into the forward method of a module",
        )
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, *_conv1d()))
    }
    if not found:
        raise UsageError(
            f"{type(model).__name__} has no nn.Linear layer, so there is nothing to accelerate",
            "give a model with linear layers",
        )
    for name, module in found.items():
        if getattr(getattr(module, "weight", None), "is_meta", False):
            raise UsageError(
                f"the weights of layer {name!r} are on the device 'meta', which holds no values",
                "load the checkpoint into the model first",
            )
    return found


def _described(what: object) -> str:
    if isinstance(what, type):
        return f"the class {what.__name__}"
    return f"the function {what.__name__}" if hasattr(what, "__name__") else type(what).__name__


def why_not(module: torch.nn.Module) -> str | None:
    """Why the product of a linear layer must stay in torch; None where it need not.

    Raises
    ------
    UsageError
        The layer already runs on an accelerator.
    """
    import torch

    kind = type(module)
    if Redirect.of(module) is not None:
        raise UsageError(
            "the model already runs on an accelerator", "call restore() of what accelerate gave"
        )
    if kind.forward not in _forwards():
        return f"{kind.__name__} has a forward of its own"
    if kind.__call__ is not torch.nn.Module.__call__:
        return f"{kind.__name__} has a __call__ of its own"
    if "forward" in vars(module):
        return "its forward was replaced in this model"
    weight: Any = module.weight
    if isinstance(weight, torch.nn.parameter.UninitializedTensorMixin):
        return "its weights do not exist before the first call"
    if type(weight) not in (torch.Tensor, torch.nn.Parameter):
        return f"its weight is a {type(weight).__name__}"
    if type(weight.data) is not torch.Tensor:
        return f"its weight holds a {type(weight.data).__name__}"
    if weight.layout is not torch.strided:
        return f"its weight is {str(weight.layout).removeprefix('torch.')}"
    if weight.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}"
    if not weight.numel():
        return "its weight is empty"
    return None


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


def sizes(module: torch.nn.Module) -> tuple[int, int]:
    """(K, N) of a linear layer; (0, 0) where its weights do not exist yet."""
    import torch

    weight: Any = module.weight
    if isinstance(weight, torch.nn.parameter.UninitializedTensorMixin):
        return 0, 0
    rows, columns = weight.shape
    return (rows, columns) if isinstance(module, _conv1d()) else (columns, rows)


def float_linear(module: torch.nn.Module) -> FloatLinear:
    """Weight and bias of a layer as float32 arrays on the host."""
    layer: Any = module
    weight = layer.weight.detach().float().cpu().numpy()
    if isinstance(module, _conv1d()):
        weight = np.ascontiguousarray(weight.T)
    bias = None if layer.bias is None else layer.bias.detach().float().cpu().numpy()
    return FloatLinear(weight, bias)


def checksum(module: torch.nn.Module) -> int:
    """CRC-32 of the bytes of weight and bias: whether they are still those that were quantised.

    It reads them all, 3.5 GB/s where it was measured, because torch's version counters miss what is
    written through ``.data`` or numpy.
    """
    import torch

    layer: Any = module
    value = 0
    for tensor in (layer.weight, layer.bias):
        if tensor is not None:
            data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            value = zlib.crc32(data.numpy(), value)
    return value
