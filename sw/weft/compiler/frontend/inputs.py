"""What a user gives as inputs of a torch model, as arguments of its forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weft.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["arguments_of", "inputs_of", "tensors_of"]

_WAYS = "give a tensor, a tuple of arguments, or a dict of keywords for each input"


def inputs_of(calibration: Any) -> Iterator[Any]:
    """The inputs that `calibration` holds: an iterable of them, or one tensor, array or mapping.

    Raises
    ------
    UsageError
        It is nothing that can be iterated, or text.
    """
    import torch

    if isinstance(calibration, (torch.Tensor, np.ndarray, Mapping)):
        return iter([calibration])
    if isinstance(calibration, (str, bytes)) or not isinstance(calibration, Iterable):
        raise UsageError(
            f"calibration must be an iterable of inputs, not {type(calibration).__name__}",
            "give a list of inputs, or a DataLoader",
        )
    return iter(calibration)


def arguments_of(model: torch.nn.Module, one: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of ``model.forward`` for one input.

    A mapping (also a BatchEncoding) is keywords, a tuple is arguments, a tensor or an array is the
    only argument. A list, as a DataLoader gives it, is arguments where it holds as many as the
    model requires; where the model takes one argument only, what follows are labels.

    Raises
    ------
    UsageError
        It is something else, or a list whose meaning is open.
    """
    import torch

    if isinstance(one, Mapping):
        bad = [key for key in one if not isinstance(key, str)]
        if bad:
            raise UsageError(f"keywords of an input must be names, not {bad[0]!r}", _WAYS)
        return (), {key: tensors_of(model, value) for key, value in one.items()}
    if isinstance(one, tuple):
        return tuple(tensors_of(model, value) for value in one), {}
    if isinstance(one, list):
        return tuple(tensors_of(model, value) for value in _of_list(model, one)), {}
    if isinstance(one, (torch.Tensor, np.ndarray)):
        return (tensors_of(model, one),), {}
    raise UsageError(f"an input of the model cannot be a {type(one).__name__}", _WAYS)


def _of_list(model: torch.nn.Module, one: list[Any]) -> list[Any]:
    if len(one) == 1:
        return one
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(model.forward).parameters.values())
    positional = [p for p in parameters if p.kind in kinds]
    open_ended = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    required = sum(p.default is inspect.Parameter.empty for p in positional)
    if len(one) == required and not open_ended:
        return one
    if len(positional) == 1 and not open_ended and one:
        return one[:1]
    raise UsageError(
        f"a list of {len(one)} is not clear: {type(model).__name__}.forward takes "
        f"{'any number of' if open_ended else f'{required} to {len(positional)}'} arguments",
        "give a tuple of its arguments, or a dict of keywords, without labels",
    )


def tensors_of(model: torch.nn.Module, value: Any) -> Any:
    """An array as a tensor; an array of floats in the dtype of the model's parameters.

    Raises
    ------
    UsageError
        The array holds something that is no number.
    """
    if not isinstance(value, np.ndarray):
        return value
    import torch

    try:
        tensor = torch.tensor(value)
    except TypeError:
        raise UsageError(f"an input holds values of type {value.dtype}", _WAYS) from None
    if not tensor.is_floating_point():
        return tensor
    kinds = (p.dtype for p in model.parameters() if p.is_floating_point())
    return tensor.to(next(kinds, tensor.dtype))
