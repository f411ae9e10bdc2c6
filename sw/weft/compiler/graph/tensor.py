"""Integers between the nodes of a graph, and its constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

__all__ = ["DTYPES", "Dim", "Tensor", "rule"]

#: A size, or the name of one that is not known yet (``"M"``); see :meth:`Graph.bind`.
Dim = int | str
#: Element types of tensors, little endian.
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {name: np.dtype(name).newbyteorder("<") for name in ("int8", "int16", "int32")}
)


def rule(ok: bool, sentence: str) -> None:
    """Refuse a graph that breaks a rule; raises UsageError."""
    if not ok:
        raise UsageError(f"graph: {sentence}")


@dataclass(frozen=True, eq=False)
class Tensor:
    """Integers between nodes, or constants.

    Parameters
    ----------
    name : str
    dtype : "int8", "int16" or "int32"
    shape : tuple of int >= 1, or names of sizes that are bound later
    data : array of that dtype and shape; None where it is computed at run time.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    data: NDArray[np.signedinteger[Any]] | None = None

    @classmethod
    def constant(cls, name: str, data: NDArray[np.signedinteger[Any]]) -> Tensor:
        """Tensor of known integers; its dtype is that of `data`."""
        return cls(name, data.dtype.name, tuple(data.shape), np.ascontiguousarray(data))

    def verify(self) -> None:
        """Refuse an unknown dtype, a bad size, or data of another kind; raises UsageError."""
        rule(
            self.dtype in DTYPES,
            f"tensor {self.name!r} must be {', '.join(DTYPES)}, not {self.dtype!r}",
        )
        sizes = all(
            d >= 1 if type(d) is int else isinstance(d, str) and d != "" for d in self.shape
        )
        rule(
            len(self.shape) > 0 and sizes,
            f"tensor {self.name!r} needs positive or named sizes, not {list(self.shape)}",
        )
        if self.data is not None:
            found = (self.data.dtype.name, tuple(self.data.shape))
            rule(
                found == (self.dtype, self.shape),
                f"tensor {self.name!r} is {self.dtype} {list(self.shape)}, its data are "
                f"{found[0]} {list(found[1])}",
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, whose sizes are all bound."""
        return tuple(map(int, self.shape))

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"
