"""What is computed, in integers: nodes, and the graph that they and their tensors make.

numpy only. A graph is frozen and prints as text; :meth:`Graph.verify` refuses one that breaks a
rule. Backends, scheduler and reference read this one description of an integer layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from weft.errors import UsageError

from .ops import OPS, Op
from .requant import Requant
from .tensor import Tensor, rule
from .window import Window

__all__ = ["Graph", "Node"]

@dataclass(frozen=True, eq=False)
class Node:
    """One operation: ``output = op(*inputs)``.

    Parameters
    ----------
    name : str
        For people: of the layer that it stands for.
    op : str
        A name in :data:`.ops.OPS`.
    inputs : names of tensors, in the order that the operation defines
    output : name of a tensor
    requant : how sums become the output; None where the output are the int32 sums themselves.
    window : how a convolution or a pool moves over its map; None where the operation has none.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    requant: Requant | None = None
    window: Window | None = None

    @property
    def activations(self) -> tuple[str, ...]:
        """The inputs that are neither weights nor a bias: the first, and what is added."""
        has_residual = self.requant is not None and self.requant.residual_multiplier is not None
        return (self.inputs[0], *((self.inputs[-1],) if has_residual else ()))

    def __str__(self) -> str:
        text = f"{self.output} = {self.op}({', '.join(self.inputs)})"
        if self.window is not None:
            text += f" {self.window}"
        return text if self.requant is None else f"{text} {self.requant}"


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which they can run.

    Parameters
    ----------
    tensors : mapping or iterable of Tensor
    nodes : sequence of Node; each reads what stands before it.
    inputs, outputs : names of tensors
    states : name of a tensor that is kept between runs -> name of the tensor whose value it takes
        at the end of a run, all at once. A state that is constant data starts with them, any other
        with zeros.
    """

    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given: Iterable[Tensor] = (
            self.tensors.values() if isinstance(self.tensors, Mapping) else self.tensors
        )
        found: dict[str, Tensor] = {}
        for tensor in given:
            rule(tensor.name not in found, f"two tensors are named {tensor.name!r}")
            found[tensor.name] = tensor
        object.__setattr__(self, "tensors", MappingProxyType(found))
        object.__setattr__(self, "states", MappingProxyType(dict(self.states)))

    def verify(self, ops: Mapping[str, Op] = OPS) -> Graph:
        """Refuse a graph that breaks a rule; the graph itself, so that calls can be chained.

        Parameters
        ----------
        ops : the operations that may occur

        Raises
        ------
        UsageError
            The sentence names the node or the tensor, and the rule.
        """
        for tensor in self.tensors.values():
            tensor.verify()
        for name in (*self.inputs, *self.outputs, *self.states, *self.states.values()):
            rule(name in self.tensors, f"there is no tensor {name!r}")
        known = {n for n, t in self.tensors.items() if t.data is not None} | {*self.states}
        for name in self.inputs:
            rule(name not in known, f"input {name!r} is a constant, or a state")
        known |= {*self.inputs}
        names: set[str] = set()
        for node in self.nodes:
            rule(node.name not in names, f"two nodes are named {node.name!r}")
            names.add(node.name)
            rule(
                node.op in ops,
                f"node {node.name!r}: there is no operation {node.op!r}, only {', '.join(ops)}",
            )
            for name in (*node.inputs, node.output):
                rule(name in self.tensors, f"node {node.name!r}: there is no tensor {name!r}")
            for name in node.inputs:
                rule(name in known, f"node {node.name!r} reads {name!r} before it is computed")
            rule(node.output not in known, f"node {node.name!r} writes {node.output!r} again")
            known.add(node.output)
            op = ops[node.op]
            operands = [self.tensors[name] for name in node.inputs]
            op.verify(node, operands, self.tensors[node.output])
        for name in self.outputs:
            rule(name in self.producers, f"output {name!r} is not computed by a node")
        for part, whole in self.parts.items():
            rule(
                part in self.producers and part not in self.parts.values()
                and len(self.consumers[part]) == 1 and part not in self.outputs
                and part not in self.states.values(),
                f"{part!r} must be computed for {whole!r} alone, of which it is a part",
            )
        for state, source in self.states.items():
            kept, new = self.tensors[state], self.tensors[source]
            rule(
                (kept.dtype, kept.shape) == (new.dtype, new.shape),
                f"state {kept} cannot take the value of {new}",
            )
            rule(source in known, f"the new value {source!r} of state {state!r} is not computed")
        return self

    # -- views ------------------------------------------------------------------------------------

    @cached_property
    def producers(self) -> Mapping[str, int]:
        """Index of the node that computes each tensor."""
        return {node.output: i for i, node in enumerate(self.nodes)}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[int, ...]]:
        """Indices of the nodes that read each tensor."""
        found: dict[str, tuple[int, ...]] = dict.fromkeys(self.tensors, ())
        for i, node in enumerate(self.nodes):
            for name in dict.fromkeys(node.inputs):
                found[name] = (*found[name], i)
        return found

    @cached_property
    def parts(self) -> Mapping[str, str]:
        """The tensor that each part lies in."""
        return {p: n.output for n in self.nodes if n.op == "concat" for p in n.inputs}

    def operands(self, node: Node) -> list[Tensor]:
        """The tensors that a node reads, in order."""
        return [self.tensors[name] for name in node.inputs]

    def bind(self, **sizes: int) -> Graph:
        """Copy with named sizes replaced: ``graph.bind(M=128)``."""

        def bound(tensor: Tensor) -> Tensor:
            shape = tuple(sizes.get(d, d) if isinstance(d, str) else d for d in tensor.shape)
            return tensor if shape == tensor.shape else replace(tensor, shape=shape)

        return replace(self, tensors={n: bound(t) for n, t in self.tensors.items()})

    def require_bound(self) -> None:
        """Refuse a size that is only a name; raises UsageError."""
        for tensor in self.tensors.values():
            free = [d for d in tensor.shape if isinstance(d, str)]
            if free:
                raise UsageError(
                    f"graph: size {free[0]!r} of {tensor} is not known", "bind it first"
                )

    def __str__(self) -> str:
        given = ", ".join(str(self.tensors[name]) for name in self.inputs)
        lines = [f"graph ({given}) -> {', '.join(self.outputs)}"]
        lines += [f"  state {self.tensors[s]} <- {new}" for s, new in self.states.items()]
        for node in self.nodes:
            kind = str(self.tensors[node.output]).partition(": ")[2]
            lines.append(f"  {node}: {kind}")
        return "\n".join(lines)
