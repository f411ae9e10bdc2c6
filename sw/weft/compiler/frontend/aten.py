"""The operators of torch that Weft knows, each of their spellings once.

In-place forms, overloads and functions that are cases of others become one operator with one set of
attributes. What has no entry is ``aten.NAME.OVERLOAD``, which torch computes on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from weft.errors import Unsupported

__all__ = ["Call", "op_of", "other", "read_operator", "shape_of"]

_aten = torch.ops.aten
#: (operator, attributes, positions of the arguments that are values)
Reading = tuple[str, dict[str, Any], tuple[int, ...]]
Reader = Callable[["Call"], Reading]


class Call:
    """The arguments of a node, whose defaults are filled in."""

    def __init__(self, node: torch.fx.Node) -> None:
        self.node = node
        schema = node.target._schema  # type: ignore[union-attr]
        self.names = [a.name for a in schema.arguments]
        given = dict(zip(self.names, node.args)) | dict(node.kwargs)
        self.given = {
            a.name: given.get(a.name, a.default_value if a.has_default_value() else None)
            for a in schema.arguments
        }

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def pair(self, name: str, default: Any = None) -> tuple[int, int]:
        """Two ints, of which torch lets one be left out."""
        value = self.given[name]
        if value is None or len(value) == 0:
            value = default
        return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an argument that is a tensor."""
        return shape_of(self.given[name])


def shape_of(node: Any) -> tuple[int, ...]:
    """Of a node; quantised ones have that of what they quantise."""
    while "val" not in node.meta and node.op == "call_function":
        node = node.args[0]
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        raise Unsupported(
            f"operator {node.name} has no single tensor as its result", "take the model apart there"
        )
    if not all(isinstance(size, int) for size in value.shape):
        raise Unsupported(
            f"operator {node.name} has a shape that depends on its input: {list(value.shape)}",
            "export the model without dynamic shapes",
        )
    return tuple(value.shape)


def _sides(padding: tuple[int, int]) -> list[int]:
    """[top, bottom, left, right] of a symmetric padding."""
    return [padding[0], padding[0], padding[1], padding[1]]


def _conv2d(call: Call) -> Reading:
    return (
        "conv2d",
        {
            "stride": list(call.pair("stride", [1])),
            "padding": _sides(call.pair("padding", [0])),
            "dilation": list(call.pair("dilation", [1])),
            "groups": call["groups"],
        },
        (0,),
    )


def _max_pool(call: Call) -> Reading:
    kernel = call.pair("kernel_size")
    return (
        "max_pool2d",
        {
            "kernel": list(kernel),
            "stride": list(call.pair("stride", kernel)),
            "padding": _sides(call.pair("padding", [0])),
            "dilation": list(call.pair("dilation", [1])),
            "ceil": bool(call["ceil_mode"]),
        },
        (0,),
    )


def _avg_pool(call: Call) -> Reading:
    kernel = call.pair("kernel_size")
    attributes = {
        "kernel": list(kernel),
        "stride": list(call.pair("stride", kernel)),
        "padding": _sides(call.pair("padding", [0])),
        "ceil": bool(call["ceil_mode"]),
        "border_counts": bool(call["count_include_pad"]),
    }
    if call["divisor_override"] is not None:
        return other(call)
    return "avg_pool2d", attributes, (0,)


def _adaptive(call: Call) -> Reading:
    high, wide = call.shape("self")[-2:]
    down, across = call.pair("output_size")
    if high % down or wide % across:
        return other(call)
    kernel = [high // down, wide // across]
    return (
        "avg_pool2d",
        {"kernel": kernel, "stride": kernel, "padding": [0] * 4, "ceil": False,
         "border_counts": True},
        (0,),
    )  # fmt: skip


def _mean(call: Call) -> Reading:
    shape = call.shape("self")
    axes = sorted(axis % len(shape) for axis in call["dim"] or range(len(shape)))
    return "mean", {"axes": axes, "keep": bool(call["keepdim"])}, (0,)


def _reshape(call: Call) -> Reading:
    return "reshape", {"shape": list(shape_of(call.node))}, (0,)


def _pad(call: Call) -> Reading:
    if call.given.get("mode", "constant") != "constant":
        return other(call)
    value = call.given.get("value")
    return "pad", {"widths": list(call["pad"]), "value": float(value or 0)}, (0,)


def _clamp(low: float | None, high: float | None) -> Reader:
    return lambda call: ("clamp", {"low": low, "high": high}, (0,))


def _clamp_given(call: Call) -> Reading:
    names = ("min", "max") if "min" in call.given else ("min_val", "max_val")
    low, high = (None if call[n] is None else float(call[n]) for n in names)
    return "clamp", {"low": low, "high": high}, (0,)


def _pointwise(name: str, *attributes: str) -> Reader:
    return lambda call: (name, {key: call[key] for key in attributes}, (0,))


def _binary(name: str) -> Reader:
    def read(call: Call) -> Reading:
        if not all(isinstance(call[n], torch.fx.Node) for n in ("self", "other")):
            return other(call)
        if call.given.get("alpha", 1) != 1 or call.given.get("rounding_mode") is not None:
            return other(call)
        return name, {}, (0, 1)

    return read


def _axis(name: str) -> Reader:
    def read(call: Call) -> Reading:
        return name, {"axis": call["dim"] % len(call.shape("self"))}, (0,)

    return read


def _permute(call: Call) -> Reading:
    rank = len(call.shape("self"))
    if "dims" in call.given:
        return "permute", {"axes": [d % rank for d in call["dims"]]}, (0,)
    axes = list(range(rank))
    a, b = call["dim0"] % rank, call["dim1"] % rank
    axes[a], axes[b] = axes[b], axes[a]
    return "permute", {"axes": axes}, (0,)


def _nothing(call: Call) -> Reading:
    return "", {}, (0,)


def _dropout(call: Call) -> Reading:
    if call["train"]:
        raise Unsupported(f"operator {call.node.name}: dropout in training", "call model.eval()")
    return "", {}, (0,)


def _concat(call: Call) -> Reading:
    """Its values are the list that is its first argument."""
    return "concat", {"axis": call["dim"] % len(shape_of(call.node))}, (0,)


def other(call: Call) -> Reading:
    """Whatever it is, by its name in torch, with its arguments."""
    target = call.node.target
    values: list[int] = []

    def plain(argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return {"tensor": argument}
        if isinstance(argument, (list, tuple)):
            return [plain(item) for item in argument]
        if isinstance(argument, torch.dtype):
            return {"dtype": str(argument).removeprefix("torch.")}
        if argument is None or isinstance(argument, (bool, int, float, str)):
            return argument
        if isinstance(argument, (torch.layout, torch.device, torch.memory_format)):
            return None
        raise Unsupported(
            f"operator {call.node.name} ({target}) has an argument of type "
            f"{type(argument).__name__}",
            "replace it in the model",
        )

    arguments = {name: plain(value) for name, value in call.given.items()}
    return f"aten.{target._schema.name.partition('::')[2]}.{target._overloadname}", {  # type: ignore[union-attr]
        "arguments": arguments
    }, tuple(values)


def _table(**readers: Reader) -> dict[Any, Reader]:
    """Each overload of the operators of these names, and of their in-place spellings."""
    found: dict[Any, Reader] = {}
    for name, reader in readers.items():
        for spelling in (name, f"{name}_"):
            packet = getattr(_aten, spelling, None)
            for overload in packet.overloads() if packet is not None else ():
                if overload not in ("out", "names", "Scalar", "names_out", "Tensor_mode_out"):
                    found[getattr(packet, overload)] = reader
    return found


_READERS: Mapping[Any, Reader] = {
    **_table(
        cat=_concat, concat=_concat, concatenate=_concat,
        max_pool2d=_max_pool, avg_pool2d=_avg_pool, adaptive_avg_pool2d=_adaptive,
        flatten=_reshape, view=_reshape, reshape=_reshape, squeeze=_reshape,
        unsqueeze=_reshape, unflatten=_reshape,
        pad=_pad, constant_pad_nd=_pad,
        relu=_clamp(0.0, None), relu6=_clamp(0.0, 6.0), hardtanh=_clamp_given,
        hardswish=_pointwise("hardswish"), silu=_pointwise("silu"), sigmoid=_pointwise("sigmoid"),
        tanh=_pointwise("tanh"), hardsigmoid=_pointwise("hardsigmoid"),
        gelu=_pointwise("gelu", "approximate"),
        leaky_relu=_pointwise("leaky_relu", "negative_slope"),
        softmax=_axis("softmax"), log_softmax=_axis("log_softmax"),
        permute=_permute, transpose=_permute,
        contiguous=_nothing, clone=_nothing, alias=_nothing, detach=_nothing, dropout=_dropout,
        add=_binary("add"), sub=_binary("sub"), mul=_binary("mul"), div=_binary("div"),
    ),
    _aten.conv2d.default: _conv2d,
    _aten.mean.dim: _mean,
    _aten.clamp.default: _clamp_given,
    _aten.clamp_.default: _clamp_given,
    _aten.linear.default: lambda call: ("linear", {}, (0,)),
    _aten.elu.default: lambda call: (
        ("elu", {"alpha": call["alpha"]}, (0,))
        if (call["scale"], call["input_scale"]) == (1, 1) else other(call)
    ),
}  # fmt: skip


def read_operator(node: torch.fx.Node) -> Reading:
    """(operator, attributes, positions of the arguments that are values) of a call.

    The operator is "" where nothing is computed.

    Raises
    ------
    Unsupported
        An argument or a shape is one that no operator of Weft can have.
    """
    return _READERS.get(node.target, other)(Call(node))


def op_of(node: Any) -> str | None:
    """The operator of a node; None where it is no call of torch's operators."""
    is_call = isinstance(node, torch.fx.Node) and node.op == "call_function"
    return read_operator(node)[0] if is_call and hasattr(node.target, "_schema") else None
