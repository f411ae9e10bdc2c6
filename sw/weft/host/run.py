"""One step of the host, by the name of its operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weft.errors import UsageError

from .integers import dequantise, quantise
from .operators import OPERATORS, Array
from .torch_operators import is_allowed, run_aten

__all__ = ["is_known", "needs_torch", "run_step"]

_BORDERS: Mapping[str, Callable[..., Array]] = {"quantise": quantise, "dequantise": dequantise}


def needs_torch(op: str) -> bool:
    """Whether numpy alone does not compute an operator."""
    return op not in OPERATORS and op not in _BORDERS


def is_known(op: str) -> bool:
    """Whether an operator is on one of the published lists."""
    return not needs_torch(op) or is_allowed(op)


def run_step(
    op: str, inputs: Sequence[Array], constants: Mapping[str, Array], attributes: Mapping[str, Any]
) -> Array:
    """The result of an operator.

    Raises
    ------
    UsageError
        An attribute or a shape is not one that it can have.
    Unsupported, ToolMissing
        As :func:`.torch_operators.run_aten`.
    """
    if needs_torch(op):
        return run_aten(op, inputs, constants, attributes.get("arguments", {}))
    function = _BORDERS.get(op) or OPERATORS[op]
    try:
        return function(*inputs, **constants, **attributes)
    except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        raise UsageError(f"operator {op}: {str(error)[:200]}") from None
