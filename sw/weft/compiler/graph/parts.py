"""Parts of a graph as graphs of their own: every value that it computes, or one node alone."""

from __future__ import annotations

from dataclasses import replace

from .graph import Graph, Node

__all__ = ["alone", "with_all_outputs"]


def with_all_outputs(graph: Graph) -> Graph:
    """`graph`, whose outputs are what every node computes."""
    return replace(graph, outputs=tuple(node.output for node in graph.nodes))


def alone(graph: Graph, node: Node) -> Graph:
    """A graph of one node: its activations are inputs, its output is the output."""
    inputs = tuple(dict.fromkeys(node.activations))
    names = {*node.inputs, node.output}
    tensors = {
        name: replace(tensor, data=None) if name in inputs else tensor
        for name, tensor in graph.tensors.items()
        if name in names
    }
    return Graph(tensors, (node,), inputs, (node.output,)).verify()
