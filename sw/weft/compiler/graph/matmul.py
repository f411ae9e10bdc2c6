"""What a matrix multiplication is: its shape, its result type and its constants, checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType
from weft_hw.numerics import (
    ACC_MAX,
    ACC_MIN,
    MULTIPLIER_MAX,
    PRE_MAX,
    SHIFT_MAX,
    SHIFT_MIN,
    TABLE_SIZE,
    WEIGHT_MAX,
    WEIGHT_MIN,
)

__all__ = ["GemmConstants", "GemmProblem"]

#: Largest M, K and N: what counts and offsets of one program can hold with room to spare.
SIZE_MAX = 1 << 20
_RANGES = {ResultType.INT8: (-128, 127), ResultType.INT16: (-(2**15), 2**15 - 1)}


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

    @property
    def name(self) -> str:
        """``MxKxN``."""
        return f"{self.m}x{self.k}x{self.n}"

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return self.m * self.k * self.n

    @property
    def bytes_read(self) -> int:
        """Bytes of A and W, each once; parameters and program are not counted."""
        return self.m * self.k + self.k * self.n

    @property
    def bytes_written(self) -> int:
        """Bytes of the result, once."""
        return self.m * self.n * self.result_type.bytes

    def tiles(self, config: AcceleratorConfig) -> tuple[int, int]:
        """(tiles along K, tiles along N) on `config`."""
        return -(-self.k // config.rows), -(-self.n // config.cols)


@dataclass(frozen=True)
class GemmConstants:
    """What is known when a program is compiled.

    Parameters
    ----------
    weights : int8 [K, N], WEIGHT_MIN..WEIGHT_MAX
    bias : int32 [N]
    multiplier : int [N], 0..MULTIPLIER_MAX
    shift : int [N], SHIFT_MIN..SHIFT_MAX
    pre : int, 0..PRE_MAX
    zero_point, low, high : int
        Values of the result type (int8 or int16); not used by int32 results.
    table : int8 [TABLE_SIZE] or None

    Raises
    ------
    UsageError
        A shape or a value breaks a rule.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.integer]
    shift: NDArray[np.integer]
    pre: int = 0
    zero_point: int = 0
    low: int = -128
    high: int = 127
    table: NDArray[np.int8] | None = field(default=None)

    def __post_init__(self) -> None:
        w = np.asarray(self.weights)
        _rule(w.ndim == 2 and w.size > 0, f"weights must be [K, N], not {list(w.shape)}")
        self._integers("weights", w.shape, WEIGHT_MIN, WEIGHT_MAX, np.int8)
        channels = (w.shape[1],)
        self._integers("bias", channels, ACC_MIN, ACC_MAX, np.int32)
        self._integers("multiplier", channels, 0, MULTIPLIER_MAX, np.int64)
        self._integers("shift", channels, SHIFT_MIN, SHIFT_MAX, np.int64)
        if self.table is not None:
            self._integers("table", (TABLE_SIZE,), -128, 127, np.int8)
        limits = {"pre": (0, PRE_MAX)}
        limits |= dict.fromkeys(("zero_point", "low", "high"), _RANGES[ResultType.INT16])
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            _rule(
                isinstance(value, (int, np.integer)) and bool(least <= value <= most),
                f"{name} must be an int in {least}..{most}, not {value!r}",
            )
            object.__setattr__(self, name, int(value))

    def _integers(
        self, name: str, shape: tuple[int, ...], least: int, most: int, dtype: type
    ) -> None:
        value = np.asarray(getattr(self, name))
        _rule(value.shape == shape, f"{name} must be {list(shape)}, not {list(value.shape)}")
        _rule(np.issubdtype(value.dtype, np.integer), f"{name} must be integers, not {value.dtype}")
        bad = (value < least) | (value > most)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            _rule(False, f"{name} must be in {least}..{most}, not {value[where]} at {list(where)}")
        object.__setattr__(self, name, np.ascontiguousarray(value, dtype))

    def check(self, problem: GemmProblem) -> None:
        """Refuse constants that do not belong to `problem`; raises UsageError."""
        shape = (problem.k, problem.n)
        _rule(
            self.weights.shape == shape,
            f"weights must be {list(shape)} for {problem.name}, not {list(self.weights.shape)}",
        )
        _rule(
            problem.table == (self.table is not None),
            "the problem and the constants must agree on whether there is a table",
        )
        if problem.result_type in _RANGES:
            least, most = _RANGES[problem.result_type]
            for name in ("zero_point", "low", "high"):
                value = getattr(self, name)
                _rule(
                    least <= value <= most,
                    f"{name} must be in {least}..{most} for {problem.result_type.name.lower()} "
                    f"results, not {value}",
                )
