"""Names of layers: of the module that an operator came from, each once."""

from __future__ import annotations

from typing import Any

__all__ = ["Names", "layer_name"]


def layer_name(node: Any) -> str:
    """The layer of the model that a node of torch.fx came from; its own name where it is none's.

    An operator that the model calls itself, and not one of its layers, has its own name.
    """
    stack = node.meta.get("nn_module_stack")
    path, kind = list(stack.values())[-1] if stack else ("", "")
    is_torch = str(kind).startswith("torch.nn.modules.") and "container" not in str(kind)
    is_layer = is_torch or str(kind).endswith(".OnnxNode")
    return str(path) if is_layer and path else str(node.name)


class Names:
    """Makes each name that it gives differ from the others."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def unique(self, name: str) -> str:
        """`name`, or `name` with a number behind it."""
        found, count = name, 2
        while found in self._given:
            found, count = f"{name}.{count}", count + 1
        self._given.add(found)
        return found
