"""Bias correction: rounded weights shift the mean of each channel, and a bias can shift it back.

The float graph and the quantised one run side by side on examples; at each product the difference
of the channels' means goes into the bias, so that later layers see corrected inputs. In networks
of depthwise convolutions this is most of the error.

Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction,
arXiv:1906.04721, section 4.2; here with means of data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from weft.compiler.frontend.aten import op_of

__all__ = ["correct_biases"]


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

    def to(self, name: str) -> torch.Tensor:
        """The value of node `name`, which comes behind the last one that was asked for."""
        env = self.interpreter.env
        while True:
            node = self.nodes[self.at]
            env[node] = self.interpreter.run_node(node)
            for source in node.all_input_nodes:
                if self.last[source] <= self.at:
                    del env[source]
            self.at += 1
            if node.name == name:
                found: torch.Tensor = env[node]
                return found

    def shift(self, delta: torch.Tensor) -> None:
        """Add to the value of the last node."""
        node = self.nodes[self.at - 1]
        self.interpreter.env[node] = self.interpreter.env[node] + delta


def correct_biases(
    module: torch.fx.GraphModule,
    floats: torch.fx.GraphModule,
    examples: Sequence[Sequence[torch.Tensor]],
    on_layer: Callable[[str], None] = lambda name: None,
) -> None:
    """Change the biases of `module`: the channels of its products get the means of `floats`.

    Parameters
    ----------
    module, floats : graphs with the same names, quantised and in float
    examples : inputs, a batch of one each; at least one
    on_layer : called with the name of each product
    """
    real = {node.name for node in floats.graph.nodes}
    products = [
        node
        for node in module.graph.nodes
        if op_of(node) in ("conv2d", "linear") and node.name in real and _bias_of(node) is not None
    ]
    with torch.no_grad():
        pairs = [(_Run(floats, x), _Run(module, x)) for x in examples]
        for node in products:
            on_layer(node.name)
            axes = _axes(node)
            total: Any = 0
            for a, b in pairs:
                difference = a.to(node.name) - b.to(node.name)
                total = total + difference.mean(axes)
            delta = total / len(pairs)
            _add(module, str(_bias_of(node)), delta)
            shape = (-1, 1, 1) if len(axes) == 3 else (-1,)
            for _, b in pairs:
                b.shift(delta.reshape(shape))


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
