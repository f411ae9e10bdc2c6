"""Products that no program can be, and long ones that one can."""

from __future__ import annotations

import pytest

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.schedule.search import schedule_node
from weft.errors import Unsupported, UsageError
from weft_hw.config import preset
from weft_hw.isa import ResultType


def test_a_shape_beyond_the_arena_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="needs an arena of .* split the problem"):
        schedule_node(preset("pynq-z2"), GemmProblem(1 << 20, 4096, 16))


def test_bad_problems() -> None:
    with pytest.raises(UsageError, match="m must be an int in 1..1048576, not 0"):
        GemmProblem(0, 1, 1)
    with pytest.raises(UsageError, match="k must be an int in .* not 1.5"):
        GemmProblem(1, 1.5, 1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a table needs int8 results, not int16"):
        GemmProblem(1, 1, 1, ResultType.INT16, table=True)


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
    assert schedule_node(preset(name), GemmProblem(*shape)).prediction.cycles > 0
