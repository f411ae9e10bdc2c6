"""Compile a chain of layers to one program with a state, run it three times, check every element.

    python examples/chain.py [BACKEND [PRESET [M K N N ...]]]

The state is the output of the run before: a second, small layer reads it.
"""

import sys

import numpy as np

import weft
from weft.compiler.graph.build import Builder
from weft.compiler.graph.requant import Requant
from weft.verify import verify
from weft_hw.config import preset
from weft_hw.numerics import multiplier_for


def main(backend: str = "emulator", name: str = "tiny", rows: str = "5", *sizes: str) -> None:
    """Build a graph, compile, verify, run, compare, count."""
    config, m = preset(name), int(rows)
    widths = [int(size) for size in sizes] or [40, 70, 19, 24]
    rng = np.random.default_rng(0)
    make = Builder()

    def layer(title: str, x: str, k: int, n: int) -> str:
        # int8 values have a standard deviation of 74; results get one of 64.
        requant = Requant(*multiplier_for(np.full(n, 64 / (74**2 * np.sqrt(k)))))
        weights = rng.integers(-127, 128, (k, n), np.int8)
        return make.linear(title, x, weights, np.zeros(n, np.int32), requant)

    before = make.state("before", (m, widths[-1]))
    old = layer("old", before, widths[-1], 8)
    x = make.input("x", (m, widths[0]))
    for index, (k, n) in enumerate(zip(widths, widths[1:])):
        x = layer(f"layer{index}", x, k, n)
    make.keep("before", x)
    graph = make.build(x, old)
    print(graph)
    program = weft.compile_graph(graph, config)
    verify(program)
    with (
        weft.open_backend(backend, config) as device,
        weft.open_backend("torch-int", config) as reference,
    ):
        device.load(program)
        reference.load(graph)
        for _ in range(3):
            inputs = {"x": rng.integers(-128, 128, (m, widths[0]), np.int8)}
            got, want = device.run(inputs), reference.run(inputs)
            for output, array in want.items():
                assert np.array_equal(got[output], array), output
        cycles = device.counters().get("cycles")
    predicted = program.metadata["predicted_cycles"]
    print(
        f"{len(graph.nodes)} layers, {len(program.instructions)} instructions on {config.name}, "
        f"{backend}: three runs equal to torch-int; {predicted:,} cycles predicted"
        + (f", {cycles:,} simulated" if cycles else "")
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
