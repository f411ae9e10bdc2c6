"""Compile one linear layer, run it on a backend, and check it against torch-int.

    python examples/gemm.py [emulator|rtl]
"""

import sys

import numpy as np

from weft.backend.opening import open_backend
from weft.compiler.graph.build import linear_layer
from weft.compiler.graph.requant import Requant
from weft.compiler.lower.program import compile_graph
from weft.verify import verify
from weft_hw.config import preset
from weft_hw.numerics import multiplier_for

M, K, N = 5, 40, 20


def main(backend: str = "emulator") -> None:
    """Build a graph, compile, verify, run, compare."""
    config = preset("tiny")
    rng = np.random.default_rng(0)
    a = rng.integers(-128, 128, (M, K), np.int8)
    multiplier, shift = multiplier_for(np.full(N, 0.002))
    graph = linear_layer(
        "example",
        weights=rng.integers(-127, 128, (K, N), np.int8),
        bias=rng.integers(-1000, 1000, N).astype(np.int32),
        requant=Requant(multiplier, shift, zero_point=3),
        rows=M,
    )
    print(graph)
    program = compile_graph(graph, config)
    verify(program)
    with open_backend(backend, config) as device, open_backend("torch-int", config) as reference:
        device.load(program)
        reference.load(graph)
        got, want = (backend.run({"a": a})["out"] for backend in (device, reference))
    assert np.array_equal(got, want)
    print(f"{M} x {K} x {N} on {config.name}, {backend}: {got.size} elements equal to torch-int")


if __name__ == "__main__":
    main(*sys.argv[1:])
