"""Weights and biases of products, after their ranges are known: layer by layer, on examples.

The float graph and the quantised one run side by side. At each product weights are rounded for the
inputs that it gets, see :mod:`.rounding`. What is left shifts the mean of each channel, and the
bias shifts it back, so that later layers see corrected inputs. In networks of depthwise
convolutions the two are most of the error.

Source of the second: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias
Correction, arXiv:1906.04721, section 4.2; here with means of data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from weft.compiler.frontend.aten import Call, op_of

from .rounding import MOST_TERMS, patches, round_weights, second_moments

__all__ = ["correct_products"]

#: Results whose inputs weights are rounded for, of all examples together, at most.
_SAMPLES = 8192


class _Run:
    """One example on its way through a graph; values that nobody needs any more are dropped."""

    def __init__(self, module: torch.fx.GraphModule, inputs: Sequence[torch.Tensor]) -> None:
        self.interpreter = torch.fx.Interpreter(module)
        self.interpreter.env = {}
        self.interpreter.args_iter = iter(inputs)
        self.nodes = list(module.graph.nodes)
        order = {node: i for i, node in enumerate(self.nodes)}
        self.last = {n: max((order[u] for u in n.users), default=-1) for n in self.nodes}
        self.at = 0

    def _step(self) -> None:
        """Compute one node."""
        env, node = self.interpreter.env, self.nodes[self.at]
        env[node] = self.interpreter.run_node(node)
        for source in node.all_input_nodes:
            if self.last[source] <= self.at:
                del env[source]
        self.at += 1

    def input_of(self, name: str) -> torch.Tensor:
        """The first input of node `name`, which comes behind the last one that was asked for."""
        while self.nodes[self.at].name != name:
            self._step()
        return self._value(self.nodes[self.at].all_input_nodes[0])

    def to(self, name: str) -> torch.Tensor:
        """The value of node `name`, which comes behind the last one that was asked for."""
        self.input_of(name)
        self._step()
        return self._value(self.nodes[self.at - 1])

    def _value(self, node: torch.fx.Node) -> torch.Tensor:
        found: torch.Tensor = self.interpreter.env[node]
        return found

    def use(self, node: torch.fx.Node, value: torch.Tensor) -> None:
        """Let what reads `node`, which has been computed, find `value`."""
        self.interpreter.env[node] = value

    def shift(self, delta: torch.Tensor) -> None:
        """Add to the value of the last node."""
        node = self.nodes[self.at - 1]
        self.interpreter.env[node] = self.interpreter.env[node] + delta


def correct_products(
    module: torch.fx.GraphModule,
    floats: torch.fx.GraphModule,
    examples: Sequence[Sequence[torch.Tensor]],
    on_layer: Callable[[str], None] = lambda name: None,
) -> None:
    """Change the products of `module`: their results get near to those of `floats`.

    Parameters
    ----------
    module, floats : graphs with the same names, quantised and in float
    examples : inputs, a batch of one each; at least one
    on_layer : called with the name of each product
    """
    real = {node.name: node for node in floats.graph.nodes}
    products = [
        node
        for node in module.graph.nodes
        if op_of(node) in ("conv2d", "linear") and node.name in real
    ]
    with torch.no_grad():
        pairs = [(_Run(floats, x), _Run(module, x)) for x in examples]
        for node in products:
            on_layer(node.name)
            inputs = [b.input_of(node.name) for _, b in pairs]
            source = node.args[1]
            if _is_own(source):
                weight = _parameter(floats, real[node.name].args[1])
                rounded = _round(module, node, weight, inputs)
                for _, b in pairs:
                    b.use(source, rounded)
            results = [(a.to(node.name), b.to(node.name)) for a, b in pairs]
            bias = _bias_of(node)
            if bias is None:
                continue
            axes = _axes(node)
            total: Any = sum((a - b).mean(axes) for a, b in results)
            delta = total / len(pairs)
            _add(module, bias, delta)
            shape = (-1, 1, 1) if len(axes) == 3 else (-1,)
            for _, b in pairs:
                b.shift(delta.reshape(shape))


def _is_own(node: Any) -> bool:
    """Whether weights are int8 of a parameter that no other product reads."""
    if "dequantize_per_channel" not in str(getattr(node, "target", "")) or len(node.users) > 1:
        return False
    stored = node.args[0]
    is_parameter = isinstance(stored, torch.fx.Node) and stored.op == "get_attr"
    return is_parameter and len(stored.users) == 1


def _parameter(module: Any, node: Any) -> torch.Tensor:
    """The parameter that `node` reads, maybe through observers."""
    while node.op != "get_attr":
        node = node.args[0]
    for part in str(node.target).split("."):
        module = getattr(module, part)
    found: torch.Tensor = module.detach()
    return found


def _round(
    module: torch.fx.GraphModule,
    node: torch.fx.Node,
    weight: torch.Tensor,
    inputs: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Round the weights of product `node` anew; what they are as reals."""
    source: Any = node.args[1]
    stored, steps = (_parameter(module, source.args[i]) for i in (0, 1))
    call = Call(node)
    groups = call["groups"] if op_of(node) == "conv2d" else 1
    count = len(weight) // groups
    wide = steps.reshape(groups, count)
    terms = weight[0].numel()
    if terms <= MOST_TERMS:
        moments = second_moments(_samples(call, weight, inputs))
        found = round_weights(weight.reshape(groups, count, terms), wide, moments)
        stored.copy_(found.reshape(weight.shape))
    return (stored * steps.reshape(-1, *[1] * (weight.dim() - 1))).to(weight.dtype)


def _samples(call: Call, weight: torch.Tensor, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """[groups, K, results]: what is multiplied for some results of every example."""
    found = []
    for i, x in enumerate(inputs):
        if op_of(call.node) == "linear":
            columns = x.reshape(1, -1, x.shape[-1]).transpose(1, 2)
        else:
            columns = patches(
                x,
                (weight.shape[2], weight.shape[3]),
                call.pair("stride", [1]),
                call.pair("padding", [0]),
                call.pair("dilation", [1]),
                call["groups"],
            )
        step = max(1, columns.shape[-1] * len(inputs) // _SAMPLES)
        found.append(columns[:, :, i % step :: step])
    return torch.cat(found, 2)


def _axes(node: torch.fx.Node) -> tuple[int, ...]:
    """All axes of a product's results but that of its channels."""
    if op_of(node) == "conv2d":
        return (0, 2, 3)
    return tuple(range(len(node.meta["val"].shape) - 1))


def _bias_of(node: torch.fx.Node) -> str | None:
    """Name of the parameter that is added; None where there is none of its own."""
    bias = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    if not isinstance(bias, torch.fx.Node) or bias.op != "get_attr" or len(bias.users) != 1:
        return None
    return str(bias.target)


def _add(module: Any, name: str, delta: torch.Tensor) -> None:
    """Add to a parameter of `module`, which until then it shares with the user's model."""
    *path, last = name.split(".")
    for part in path:
        module = getattr(module, part)
    changed = getattr(module, last).detach() + delta
    delattr(module, last)
    module.register_parameter(last, torch.nn.Parameter(changed, requires_grad=False))
