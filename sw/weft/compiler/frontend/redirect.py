"""Lets another function compute the forward pass of one module, which stays where it is.

Only the attribute ``forward`` of the instance changes. What else a model may do with a layer, by
its type, its parameters, its hooks, its place in the tree or its entries in the state dict, is as
before by construction, and there is no place to put anything back to.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from weft.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["Redirect"]


def _nothing(*_: Any) -> None:
    """A hook: modules with hooks are called; fused paths of torch would read their weights."""


class Redirect:
    """The forward pass of `module` is ``compute(module, x)`` until :meth:`remove`.

    Parameters
    ----------
    module : of one input, and with no forward of its own in the instance
    compute : (module, input tensor) -> output
    """

    def __init__(
        self, module: torch.nn.Module, compute: Callable[[torch.nn.Module, Any], Any]
    ) -> None:
        self.module, self.compute = module, compute
        self._parameter = list(inspect.signature(type(module).forward).parameters)[1]
        vars(module)["forward"] = self
        self._hook = module.register_forward_hook(_nothing)

    @staticmethod
    def of(module: torch.nn.Module) -> Redirect | None:
        """What computes the forward pass of `module`, if it is one of these."""
        found = vars(module).get("forward")
        return found if isinstance(found, Redirect) else None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if len(arguments) + len(named) != 1 or set(named) - {self._parameter}:
            given = len(arguments) + len(named)
            raise TypeError(
                f"{type(self.module).__name__}.forward() takes one argument, "
                f"{self._parameter!r}, not {given} ({', '.join(named) or 'positional'})"
            )
        x = arguments[0] if arguments else named[self._parameter]
        return self.compute(self.module, x)

    def remove(self) -> None:
        """Give the module its own forward pass back; calling it again does nothing."""
        if vars(self.module).get("forward") is self:
            del vars(self.module)["forward"]
        self._hook.remove()

    def __deepcopy__(self, memo: dict[int, Any]) -> Redirect:
        """For a copy of the module: computed in the same way."""
        copied = object.__new__(Redirect)
        memo[id(self)] = copied
        vars(copied).update(vars(self), module=memo.get(id(self.module), self.module))
        return copied

    def __reduce__(self) -> Any:
        raise UsageError(
            "a layer that runs on an accelerator cannot be pickled",
            "save model.state_dict(), or call restore() first",
        )
