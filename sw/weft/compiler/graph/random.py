"""Random layers, for benches and self-tests."""

from __future__ import annotations

import numpy as np

from weft_hw.isa import ResultType
from weft_hw.numerics import WEIGHT_MAX, WEIGHT_MIN, multiplier_for

from .build import linear_layer
from .graph import Graph
from .matmul import GemmProblem
from .requant import BOUNDS, Requant

__all__ = ["random_linear"]

#: Standard deviation of uniformly random int8 values; a sum of K products has 74**2 * sqrt(K).
_SIGMA = 74.0


def random_linear(problem: GemmProblem, rng: np.random.Generator) -> Graph:
    """A layer of the sizes of `problem`, whose results spread over the range of their type.

    Weights are uniform in -127..127; scales differ by up to 4 between channels.
    """
    k, n, kind = problem.k, problem.n, problem.result_type
    spread = _SIGMA**2 * np.sqrt(k)
    target = 64.0 if kind is ResultType.INT8 else 64.0 * 256
    multiplier, shift = multiplier_for(target / spread * 4.0 ** rng.uniform(-0.5, 0.5, n))
    weights = rng.integers(WEIGHT_MIN, WEIGHT_MAX + 1, (k, n), np.int8)
    bias = rng.integers(-(2**14), 2**14, n).astype(np.int32)
    zero_point = int(rng.integers(-20, 20))
    requant = None
    name = kind.name.lower()
    if kind is not ResultType.INT32:
        low, high = BOUNDS[name]
        table = rng.integers(-128, 128, 256, np.int8) if problem.table else None
        requant = Requant(multiplier, shift, 0, zero_point, low, high, table)
    return linear_layer(problem.name, weights, bias, requant, name, rows=problem.m)
