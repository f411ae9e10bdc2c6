"""From torch's graph of a quantised model to a :class:`Network`."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch

from weft.compiler.graph.network import BORDERS, Network, Operator, Value
from weft.compiler.graph.scale import Scale
from weft.errors import Unsupported

from .aten import Call, other, read_operator, shape_of
from .names import Names, layer_name

__all__ = ["read_network"]


def _is(node: Any, *names: str) -> bool:
    """Whether a node calls one of these of torch's quantisation operators."""
    target = getattr(node, "target", None)
    schema = getattr(target, "_schema", None)
    space, _, own = schema.name.partition("::") if schema is not None else ("", "", "")
    return space in ("quantized_decomposed", "torchao") and own in names


class _Reader:
    def __init__(self, module: torch.fx.GraphModule) -> None:
        self.module, self.names = module, Names()
        self.values: dict[str, Value] = {}
        self.operators: list[Operator] = []
        #: Node -> name of its value; several nodes may have one.
        self.at: dict[torch.fx.Node, str] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def read(self) -> Network:
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                self.inputs.append(self._value(node, shape_of(node)))
            elif node.op == "output":
                (found,) = node.args
                for item in found if isinstance(found, (tuple, list)) else (found,):
                    if not isinstance(item, torch.fx.Node) or item not in self.at:
                        raise Unsupported(
                            "an output of the model is no tensor that it computes",
                            "return tensors alone",
                        )
                    self.outputs.append(self.at[item])
            elif node.op == "call_function" and self._constant(node) is None:
                self._call(node)
        network = Network(
            self.values, tuple(self.operators), tuple(self.inputs), tuple(self.outputs)
        )
        return network.pruned(network.operators).verify()

    # -- values -----------------------------------------------------------------------------------

    def _value(
        self, node: torch.fx.Node, shape: tuple[int, ...], scale: Scale | None = None
    ) -> str:
        kind = node.meta["val"].dtype if "val" in node.meta else torch.float32
        # torch renames inputs that have names of Python's own, as `input`.
        name = str(node.target if node.op == "placeholder" else node.name)
        self.values[name] = Value(name, shape, scale, str(kind).removeprefix("torch."))
        self.at[node] = name
        return name

    def _constant(self, node: Any) -> np.ndarray | None:  # type: ignore[type-arg]
        """The tensor that a node stands for, where it does not depend on an input."""
        if not isinstance(node, torch.fx.Node):
            return None
        if node.op == "get_attr":
            found: Any = self.module
            for part in str(node.target).split("."):
                found = getattr(found, part)
            return np.asarray(found.detach().cpu().numpy())
        if _is(node, "dequantize_per_channel", "dequantize_per_tensor"):
            q = self._constant(node.args[0])
            if q is None:
                return None
            scales, zero_points, axis = self._scales(node, q)
            shape = [-1 if i == axis else 1 for i in range(q.ndim)]
            real = (q.astype(np.float64) - zero_points.reshape(shape)) * scales.reshape(shape)
            return np.asarray(real, np.float32)
        return None

    def _scales(self, node: torch.fx.Node, q: Any) -> tuple[Any, Any, int]:
        """(scales, zero points, axis) of a constant, one for each index of the axis."""
        if _is(node, "dequantize_per_channel"):
            scales, zero_points = (self._constant(a) for a in node.args[1:3])
            assert scales is not None
            if zero_points is None:
                zero_points = np.zeros(len(scales))
            return scales.astype(np.float64), zero_points.astype(np.int64), int(node.args[3])  # type: ignore[arg-type]
        count = q.shape[0] if q.ndim else 1
        step, zero_point = (self._number(a) for a in node.args[1:3])
        return np.full(count, step), np.full(count, int(zero_point)), 0

    def _number(self, argument: Any) -> float:
        found = self._constant(argument)
        return float(argument if found is None else found)

    def _weights(self, node: torch.fx.Node) -> dict[str, Any]:
        """The constants of a product's weights: int8 with a step for each output, or reals."""
        real = self._constant(node)
        if real is None:
            raise Unsupported(f"weights of {node.name} are computed", "make them constants")
        found: dict[str, Any] = {"weights": real}
        if _is(node, "dequantize_per_channel", "dequantize_per_tensor"):
            q = self._constant(node.args[0])
            assert q is not None
            scales, zero_points, axis = self._scales(node, q)
            if axis == 0 and not zero_points.any() and q.dtype == np.int8:
                found |= {"integers": q, "steps": scales}
        return found

    # -- operators --------------------------------------------------------------------------------

    def _call(self, node: torch.fx.Node) -> None:
        if _is(node, "quantize_per_tensor", "dequantize_per_tensor"):
            self._quantisation(node)
            return
        if node.target is operator.getitem or not hasattr(node.target, "_schema"):
            raise Unsupported(
                f"operator {node.name} ({node.target}) is not one that Weft can run",
                "replace it in the model",
            )
        call = Call(node)
        op, attributes, positions = read_operator(node)
        arguments = [call.given[call.names[i]] for i in positions]
        if op == "concat":
            arguments = list(arguments[0] or ())
        if not op:
            self.at[node] = self.at[arguments[0]]
            return
        constants: dict[str, Any] = {}
        if op in ("conv2d", "linear"):
            constants = self._weights(call["weight"])
            bias = self._constant(call["bias"])
            if bias is not None:
                constants["bias"] = bias
        elif op.startswith("aten."):
            arguments = []
            attributes = self._resolved(attributes["arguments"], arguments, constants)
        elif any(a not in self.at for a in arguments):  # a constant operand: torch computes it
            op, attributes, _ = other(call)
            arguments = []
            attributes = self._resolved(attributes["arguments"], arguments, constants)
        self._add(node, op, arguments, attributes, constants)

    def _resolve(self, argument: Any, values: list[Any], constants: dict[str, Any]) -> Any:
        """`argument` with its tensors as indices of `values`, or names of `constants`."""
        if isinstance(argument, list):
            return [self._resolve(item, values, constants) for item in argument]
        if isinstance(argument, dict) and "tensor" in argument:
            node = argument["tensor"]
            if node in self.at:
                values.append(node)
                return {"value": len(values) - 1}
            constants[node.name] = self._constant(node)
            return {"constant": node.name}
        return argument

    def _resolved(
        self, arguments: dict[str, Any], values: list[Any], constants: dict[str, Any]
    ) -> dict[str, Any]:
        """Attributes of an operator that torch computes."""
        found = {k: self._resolve(v, values, constants) for k, v in arguments.items()}
        return {"arguments": found}

    def _add(
        self,
        node: torch.fx.Node,
        op: str,
        sources: list[Any],
        attributes: dict[str, Any],
        constants: dict[str, Any],
        scale: Scale | None = None,
    ) -> None:
        name = layer_name(node)
        if op in BORDERS:
            name = op
        elif op == "pad" and name != node.name:  # part of a layer, whose name another part has
            name = f"{name}.pad"
        name = self.names.unique(name)
        inputs = tuple(self.at[source] for source in sources)
        output = self._value(node, shape_of(node), scale)
        self.operators.append(Operator(name, op, inputs, output, attributes, constants))

    def _quantisation(self, node: torch.fx.Node) -> None:
        source, step, zero_point, low, high, kind = node.args[:6]
        if kind == torch.uint8:  # the same steps, counted from the middle
            zero_point, low, high = (int(self._number(v)) - 128 for v in (zero_point, low, high))
        elif kind != torch.int8:
            raise Unsupported(
                f"operator {node.name} quantises to {str(kind).removeprefix('torch.')}",
                "quantise activations to int8 or uint8",
            )
        scale = Scale(self._number(step), int(self._number(zero_point)), int(low), int(high))  # type: ignore[arg-type]
        if not (math.isfinite(scale.step) and scale.step > 0):
            raise Unsupported(f"operator {node.name} has a scale of {scale.step}", "quantise again")
        if _is(node, "quantize_per_tensor"):
            self._add(node, "quantise", [source], {}, {}, scale)
        else:
            self._add(node, "dequantise", [source], {}, {})


def read_network(module: torch.fx.GraphModule) -> Network:
    """The network of a graph of aten operators, with or without torch's quantisation in it.

    Raises
    ------
    Unsupported
        An operator has several results, an argument that is no value of JSON, or a shape that
        depends on its input.
    """
    return _Reader(module).read()
