"""Operators of torch that run on the host: where a step has no numpy form, torch computes it.

``ALLOWED`` is the published list: functions of tensors alone, without state, randomness or files.
torch is imported when one is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weft.errors import Unsupported, UsageError
from weft.tools import require

from .operators import Array

__all__ = ["ALLOWED", "is_allowed", "run_aten"]

#: Names of aten operators, without overloads.
ALLOWED = frozenset(
    """
    abs adaptive_avg_pool1d adaptive_avg_pool2d add addmm amax amin argmax argmin avg_pool1d
    avg_pool2d avg_pool3d baddbmm batch_norm bmm cat celu channel_shuffle clamp clamp_max
    clamp_min clone constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d cos cumsum div einsum elu embedding eq erf exp expand flatten flip floor
    floor_divide gather ge gelu glu group_norm gt hardshrink hardsigmoid hardswish hardtanh
    index_select instance_norm layer_norm le leaky_relu linear log log1p log_sigmoid log_softmax
    logical_and logical_not logical_or lt masked_fill matmul max_pool1d max_pool2d max_pool3d
    maximum mean minimum mish mm movedim mul narrow ne neg pad permute pixel_shuffle
    pixel_unshuffle pow prelu prod reciprocal relu relu6 repeat reshape rms_norm roll round
    rsqrt scaled_dot_product_attention select selu sigmoid sign silu sin slice softmax softplus
    softshrink softsign sqrt square squeeze stack std sub sum t tan tanh threshold tile
    transpose tril triu unflatten unsqueeze upsample_bicubic2d upsample_bilinear2d
    upsample_nearest1d upsample_nearest2d var view where
    """.split()
)


def is_allowed(op: str) -> bool:
    """Whether ``aten.NAME.OVERLOAD`` is on the list; the in-place form of NAME is NAME."""
    space, _, rest = op.partition(".")
    return space == "aten" and rest.partition(".")[0].rstrip("_") in ALLOWED


def run_aten(
    op: str, inputs: Sequence[Array], constants: Mapping[str, Array], arguments: Mapping[str, Any]
) -> Array:
    """The result of an operator.

    Parameters
    ----------
    op : ``aten.NAME.OVERLOAD``
    arguments : by name; {"value": i} is an input, {"constant": name} a constant, {"dtype": name} a
        type.

    Raises
    ------
    Unsupported
        It is not on the list, or has several results.
    UsageError
        An argument is not one that this operator of this torch has.
    ToolMissing
        torch is not installed.
    """
    if not is_allowed(op):
        raise Unsupported(f"operator {op} is not on the list of what runs on the host")
    require("torch", what=f"operator {op}")
    import torch

    _, name, overload = op.split(".")
    packet = getattr(torch.ops.aten, name, None)
    call = getattr(packet, overload or "default", None)
    if call is None:
        raise Unsupported(f"operator {op} is not one of this torch", "compile the model again")

    def value(argument: Any) -> Any:
        if isinstance(argument, list):
            return [value(item) for item in argument]
        if not isinstance(argument, dict):
            return argument
        ((kind, item),) = argument.items()
        if kind == "dtype":
            found = getattr(torch, str(item), None)
            if not isinstance(found, torch.dtype):
                raise UsageError(f"operator {op}: there is no dtype {item!r}")
            return found
        array = inputs[item] if kind == "value" else constants[item]
        return torch.from_numpy(np.array(array))

    try:
        with torch.no_grad():
            result = call(**{name: value(argument) for name, argument in arguments.items()})
    except (RuntimeError, TypeError, IndexError, KeyError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"operator {op}: {first[:200]}") from None
    if not isinstance(result, torch.Tensor):
        raise Unsupported(f"operator {op} has several results", "take the model apart there")
    return np.asarray(result.numpy())
