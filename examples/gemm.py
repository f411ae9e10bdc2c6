"""Compile one matrix product, run it on the emulator, and check it against torch-int.

    python examples/gemm.py [emulator|rtl]
"""

import sys

import numpy as np

from weft.compiler.graph.matmul import GemmConstants, GemmProblem
from weft.compiler.graph.reference import TorchInt
from weft.compiler.lower.program import compile_gemm
from weft.dram import memory_of
from weft.measure.bench import open_backend
from weft.verify import verify
from weft_hw.config import preset
from weft_hw.numerics import multiplier_for

M, K, N = 5, 40, 20


def main(backend: str = "emulator") -> None:
    """Compile, verify, run, compare."""
    config = preset("tiny")
    rng = np.random.default_rng(0)
    a = rng.integers(-128, 128, (M, K), np.int8)
    multiplier, shift = multiplier_for(np.full(N, 0.002))
    constants = GemmConstants(
        weights=rng.integers(-127, 128, (K, N), np.int8),
        bias=rng.integers(-1000, 1000, N).astype(np.int32),
        multiplier=multiplier,
        shift=shift,
        zero_point=3,
    )
    program = compile_gemm(config, GemmProblem(M, K, N), constants)
    verify(program)
    with open_backend(config, backend, memory_of(config)) as device:
        device.load(program)
        got = device.run({"a": a})["out"]
    want = TorchInt().gemm(
        a,
        constants.weights,
        constants.bias,
        result="int8",
        multiplier=multiplier,
        shift=shift,
        zero_point=3,
    )
    assert np.array_equal(got, want)
    print(f"{M} x {K} x {N} on {config.name}, {backend}: {got.size} elements equal to torch-int")


if __name__ == "__main__":
    main(*sys.argv[1:])
