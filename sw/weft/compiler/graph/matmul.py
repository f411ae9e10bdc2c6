"""What a matrix multiplication is to a scheduler: sizes and result type, without constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from weft.dram import MemoryModel, roofline_cycles
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType

from .graph import Graph, Node

__all__ = ["GemmProblem"]

#: Largest M, K and N: what counts and offsets of one program can hold with room to spare.
SIZE_MAX = 1 << 20


def _rule(ok: bool, sentence: str) -> None:
    if not ok:
        raise UsageError(f"gemm: {sentence}")


@dataclass(frozen=True)
class GemmProblem:
    """``out[M, N] = post(A[M, K] @ W[K, N] + bias)``; A and W are int8.

    Parameters
    ----------
    m, k, n : int, 1..SIZE_MAX
    result_type : ResultType
        Element type of `out`.
    table : bool
        Each int8 result is replaced by an entry of a table.
    residual : bool
        Something is added to each int8 result.

    Raises
    ------
    UsageError
        A value breaks a rule.
    """

    m: int
    k: int
    n: int
    result_type: ResultType = ResultType.INT8
    table: bool = False
    residual: bool = False
    #: Products are added, and not compared.
    maximum: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in "mkn":
            value = getattr(self, name)
            _rule(
                type(value) is int and 1 <= value <= SIZE_MAX,
                f"{name} must be an int in 1..{SIZE_MAX}, not {value!r}",
            )
        object.__setattr__(self, "result_type", ResultType(self.result_type))
        _rule(
            not self.table or self.result_type is ResultType.INT8,
            f"a table needs int8 results, not {self.result_type.name.lower()}",
        )

    @classmethod
    def of(cls, graph: Graph, node: Node) -> GemmProblem:
        """The problem of a ``linear`` node of a bound graph."""
        x, weights, *_ = graph.operands(node)
        m, (k, n) = x.shape[0], weights.shape
        kind = ResultType[graph.tensors[node.output].dtype.upper()]
        table = node.requant is not None and node.requant.table is not None
        residual = node.requant is not None and node.requant.residual_multiplier is not None
        return cls(m, k, n, kind, table, residual)  # type: ignore[arg-type]  # the rule names what is unbound

    @property
    def name(self) -> str:
        """``MxKxN``."""
        return f"{self.m}x{self.k}x{self.n}"

    @property
    def title(self) -> str:
        """For messages."""
        return f"gemm {self.name}"

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return self.m * self.k * self.n

    @property
    def bytes_read(self) -> int:
        """Bytes of A, W and what is added, each once; parameters and program are not counted."""
        return self.m * self.k + self.k * self.n + self.m * self.n * self.residual

    @property
    def bytes_written(self) -> int:
        """Bytes of the result, once."""
        return self.m * self.n * self.result_type.bytes

    def roofline(self, config: AcceleratorConfig, memory: MemoryModel) -> float:
        """Cycles that no schedule can beat."""
        return roofline_cycles(config, memory, self.macs, self.bytes_read, self.bytes_written)

    def weight_tiles(self, config: AcceleratorConfig) -> int:
        """Tiles of weights."""
        k, n = self.tiles(config)
        return k * n

    def tiles(self, config: AcceleratorConfig) -> tuple[int, int]:
        """(tiles along K, tiles along N) on `config`."""
        return -(-self.k // config.rows), -(-self.n // config.cols)
