"""Print how fast the host's parts of Weft are: seconds, and what four times the work costs.

``python scripts/benchmark.py [K]``. A product [64, K] x [K, K] is compiled, verified, predicted and
emulated, then the same with twice K. A ratio far above 4 is a part that does not scale; the last
column compares with numpy's int32 product of the same size.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from weft.backend.emulator import EmulatorBackend
from weft.compiler.cost.predict import predict
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.random import random_linear
from weft.compiler.lower.program import compile_graph
from weft.dram import memory_of
from weft.verify import verify
from weft_hw.config import preset


def seconds(work: Callable[[], object]) -> float:
    """Processor time of `work`, the best of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def stages(k: int) -> dict[str, float]:
    """Stage -> seconds for a product [64, k] x [k, k] on pynq-z2."""
    config, rng = preset("pynq-z2"), np.random.default_rng(0)
    graph = random_linear(GemmProblem(64, k, k), rng)
    program = compile_graph(graph, config)
    memory = memory_of(config)
    x = rng.integers(-128, 128, (64, k), np.int8)
    weights = rng.integers(-127, 128, (k, k), np.int8)
    with EmulatorBackend(config) as emulator:
        emulator.load(program)
        (name,) = program.inputs
        return {
            "compile": seconds(lambda: compile_graph(graph, config)),
            "verify": seconds(lambda: verify(program)),
            "predict": seconds(lambda: predict(program.instructions, config, memory)),
            "emulate": seconds(lambda: emulator.run({name: x})),
            "numpy": seconds(lambda: x.astype(np.int32) @ weights.astype(np.int32)),
        }


def main(k: int = 384) -> None:
    """Print the table."""
    small, large = stages(k), stages(2 * k)
    print(f"{'stage':8} {f'K={k}, ms':>12} {f'K={2 * k}, ms':>12} {'ratio':>6} {'of numpy':>9}")
    for stage, short in small.items():
        long = large[stage]
        print(
            f"{stage:8} {short * 1e3:12.2f} {long * 1e3:12.2f} {long / max(short, 1e-9):6.1f} "
            f"{long / max(large['numpy'], 1e-9):9.1f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
