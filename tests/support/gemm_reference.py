"""A matrix multiplication as the documents describe it, in int64, and random constants for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.matmul import GemmConstants, GemmProblem
from weft_hw.isa import ResultType
from weft_hw.numerics import SAT_BITS

RANGES = {
    ResultType.INT8: (-128, 127),
    ResultType.INT16: (-(2**15), 2**15 - 1),
    ResultType.INT32: (-128, 127),
}


def random_constants(rng: np.random.Generator, problem: GemmProblem) -> GemmConstants:
    """Constants whose results use the whole range and also saturate."""
    k, n = problem.k, problem.n
    low, high = RANGES[problem.result_type]
    spread = int(np.log2(5000 * np.sqrt(k) * 2**16 / high))
    return GemmConstants(
        weights=rng.integers(-127, 128, (k, n), dtype=np.int8),
        bias=rng.integers(-(2**15), 2**15, n, dtype=np.int32),
        multiplier=rng.integers(0, 2**17, n),
        shift=rng.integers(spread - 3, spread + 2, n),
        pre=int(rng.integers(0, 3)),
        zero_point=int(rng.integers(-9, 10)),
        low=low + int(rng.integers(0, 9)),
        high=high - int(rng.integers(0, 9)),
        table=rng.integers(-128, 128, 256, dtype=np.int8) if problem.table else None,
    )


def reference(a: NDArray[np.int8], problem: GemmProblem, c: GemmConstants) -> NDArray[np.int64]:
    """int64 [M, N]: what the accelerator must write."""
    total = a.astype(np.int64) @ c.weights.astype(np.int64) + c.bias.astype(np.int64)
    acc = (total + 2**31) % 2**32 - 2**31
    if problem.result_type is ResultType.INT32:
        return acc
    limit = 2 ** (SAT_BITS - 1)
    saturated = np.clip(acc >> c.pre, -limit, limit - 1)
    scaled = (saturated * c.multiplier + (np.int64(1) << (c.shift - 1))) >> c.shift
    y = np.minimum(np.maximum(scaled + c.zero_point, c.low), c.high)
    return c.table[y & 0xFF].astype(np.int64) if c.table is not None else y
