"""Compiled programs pass the verifier and give, on the emulator, what int64 arithmetic gives."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gemm_reference import random_constants, reference
from weft.backend.emulator import EmulatorBackend
from weft.compiler.graph.matmul import GemmConstants, GemmProblem
from weft.compiler.lower.program import compile_gemm
from weft.compiler.schedule.search import schedule_gemm
from weft.errors import Unsupported, UsageError
from weft.verify import verify
from weft_hw.config import PRESETS, AcceleratorConfig, preset
from weft_hw.isa import ResultType

#: Ragged, degenerate and exact shapes; each is small enough for the smallest preset.
SHAPES = [
    (1, 1, 1),
    (1, 7, 5),
    (16, 16, 16),
    (37, 100, 77),
    (3, 500, 40),
    (65, 9, 130),
    (100, 70, 8),
    (2, 300, 300),
]
LARGE = [(129, 385, 33), (196, 512, 128), (1, 384, 1536), (300, 32, 64), (20, 40, 5000)]
KINDS = [
    (ResultType.INT8, False),
    (ResultType.INT8, True),
    (ResultType.INT16, False),
    (ResultType.INT32, False),
]


def run(config: AcceleratorConfig, problem: GemmProblem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    constants = random_constants(rng, problem)
    program = compile_gemm(config, problem, constants)
    verify(program)
    a = rng.integers(-128, 128, (problem.m, problem.k), dtype=np.int8)
    with EmulatorBackend(config) as backend:
        backend.load(program)
        out = backend.run({"a": a})["out"]
    np.testing.assert_array_equal(out, reference(a, problem, constants))


@pytest.mark.parametrize(("kind", "table"), KINDS)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_small_shapes(
    name: str, shape: tuple[int, int, int], kind: ResultType, table: bool
) -> None:
    run(preset(name), GemmProblem(*shape, kind, table), sum(shape))


@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])
@pytest.mark.parametrize("shape", LARGE, ids=lambda s: "x".join(map(str, s)))
def test_large_shapes(name: str, shape: tuple[int, int, int]) -> None:
    run(preset(name), GemmProblem(*shape), sum(shape))


def test_random_shapes() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    limits = {"tiny": 60, "tiny-wide": 90, "pynq-z2": 300, "kv260": 300}
    for _ in range(24):
        name = str(rng.choice(list(limits)))
        m, k, n = (int(np.exp(rng.uniform(0, np.log(limits[name])))) for _ in range(3))
        kind, table = KINDS[int(rng.integers(len(KINDS)))]
        print(name, m, k, n, kind, table)
        run(preset(name), GemmProblem(m, k, n, kind, table), int(rng.integers(2**31)))


def test_metadata_says_what_was_chosen() -> None:
    problem = GemmProblem(100, 200, 48)
    constants = random_constants(np.random.default_rng(0), problem)
    program = compile_gemm(preset("pynq-z2"), problem, constants)
    meta = program.metadata
    assert (meta["m"], meta["k"], meta["n"]) == (100, 200, 48)
    assert meta["macs"] == 100 * 200 * 48
    assert meta["bytes_read"] == 100 * 200 + 200 * 48
    assert meta["bytes_written"] == 100 * 48
    assert 0 < meta["roofline_cycles"] < meta["predicted_cycles"]
    assert meta["schedule"]["block_rows"] >= 1
    assert json.dumps(dict(meta))
    assert program.inputs["a"].pitches == (208,)
    assert program.outputs["out"].pitches == (48,)


def test_a_shape_beyond_the_arena_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="needs an arena of .* split the problem"):
        schedule_gemm(preset("pynq-z2"), GemmProblem(1 << 20, 4096, 16))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": np.full((3, 2), -128, np.int8)}, "weights must be in -127..127, not -128"),
        ({"weights": np.zeros(3, np.int8)}, r"weights must be \[K, N\], not \[3\]"),
        ({"bias": np.zeros(3, np.int32)}, r"bias must be \[2\], not \[3\]"),
        ({"bias": np.zeros(2)}, "bias must be integers, not float64"),
        ({"multiplier": np.array([0, 1 << 17])}, r"not 131072 at \[1\]"),
        ({"shift": np.array([0, 1])}, r"shift must be in 1..42, not 0 at \[0\]"),
        ({"pre": 8}, "pre must be an int in 0..7, not 8"),
        ({"table": np.zeros(255, np.int8)}, r"table must be \[256\]"),
    ],
)
def test_bad_constants(change: dict[str, object], sentence: str) -> None:
    good = {
        "weights": np.zeros((3, 2), np.int8),
        "bias": np.zeros(2, np.int32),
        "multiplier": np.ones(2, np.int64),
        "shift": np.ones(2, np.int64),
    }
    GemmConstants(**good)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=sentence):
        GemmConstants(**{**good, **change})  # type: ignore[arg-type]


def test_bad_problems() -> None:
    with pytest.raises(UsageError, match="m must be an int in 1..1048576, not 0"):
        GemmProblem(0, 1, 1)
    with pytest.raises(UsageError, match="k must be an int in .* not 1.5"):
        GemmProblem(1, 1.5, 1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a table needs int8 results, not int16"):
        GemmProblem(1, 1, 1, ResultType.INT16, table=True)


def test_constants_of_another_problem() -> None:
    constants = random_constants(np.random.default_rng(0), GemmProblem(4, 8, 8))
    with pytest.raises(UsageError, match=r"weights must be \[9, 8\] for 4x9x8, not \[8, 8\]"):
        compile_gemm(preset("tiny"), GemmProblem(4, 9, 8), constants)
    with pytest.raises(UsageError, match="whether there is a table"):
        compile_gemm(preset("tiny"), GemmProblem(4, 8, 8, table=True), constants)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("tiny", (1, 65536, 3)),
        ("tiny", (3000, 5, 9)),
        ("tiny", (3, 5, 20000)),
        ("pynq-z2", (100000, 32, 16)),
        ("pynq-z2", (1, 65536, 64)),
        ("pynq-z2", (2, 16, 65536)),
    ],
)
def test_long_dimensions_have_a_schedule(name: str, shape: tuple[int, int, int]) -> None:
    assert schedule_gemm(preset(name), GemmProblem(*shape)).prediction.cycles > 0
