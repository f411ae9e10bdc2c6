"""What a plan is: layers with their tilings, and the loads, steps and stores that follow.

A plan holds loads, steps and stores, each in the order in which they are done; a step is the
array's or the depthwise engine's. Dependencies point from one list into another by index. Nothing
here knows about semaphores or queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft_hw.config import GRANULE_BYTES, PARAMETER_BYTES, AcceleratorConfig
from weft_hw.isa import ResultType, Space, result_align_words
from weft_hw.numerics import TABLE_SIZE

from .nest import Nest
from .tiling import AnyTiling

__all__ = [
    "SEGMENT_BYTES", "Layer", "Layout", "Load", "Plan", "Problem", "Slide", "Step", "Store",
    "Written", "layout_of", "place_constants", "result_pitch", "round_up", "row_bytes", "stores_of",
]  # fmt: skip

#: What a layer computes.
Problem = GemmProblem | WindowProblem

#: (first byte, end, index of the store) of what a plan writes to each tensor.
Written = dict[str, list[tuple[int, int, int]]]
#: Regions of the arena start at multiples of this: every port begins with a whole stripe.
REGION_ALIGN = 4096
#: Bytes of a row segment that the DMA moves without loss; stores are at least this long where N
#: allows.
SEGMENT_BYTES = 128


def round_up(value: int, step: int) -> int:
    """Smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def result_pitch(
    config: AcceleratorConfig, result_type: ResultType, columns: int, column: int = 0
) -> int:
    """Bytes from one row of results to the next on chip, where `columns` tiles are gathered.

    With `column`, that many bytes are the results of one, and not those of a tile of the array.
    """
    align = max(GRANULE_BYTES, 4 * result_align_words(result_type, config))
    return round_up(columns * (column or config.cols * result_type.bytes), align)


def row_bytes(problem: Problem) -> int:
    """Bytes of a row of results in the arena: whole granules."""
    columns = problem.n if isinstance(problem, GemmProblem) else problem.outputs
    return round_up(columns * problem.result_type.bytes, GRANULE_BYTES)


def stores_of(written: Written, tensor: str, start: int, end: int) -> int:
    """The last store of bytes [start, end) of a tensor, or -1."""
    found = (i for a, b, i in written.get(tensor, []) if a < end and start < b)
    return max(found, default=-1)


@dataclass(frozen=True)
class Layout:
    """Byte offsets and pitches in the arena of what one layer reads and writes.

    `out_bytes` are those of a row of results, whole granules; there may be others up to the next
    row. `source` and `target` are the names of the tensors at `a` and `out`; `added` is that at
    `residual`, whose rows are `residual_pitch` apart.
    """

    weights: int
    parameters: int
    table: int
    a: int
    a_pitch: int
    out: int
    out_pitch: int
    out_bytes: int
    source: str
    target: str
    residual: int = 0
    residual_pitch: int = 0
    added: str = ""


@dataclass(frozen=True)
class Layer:
    """One node of a plan, under its tiling, at its place in the arena."""

    problem: Problem
    tiling: AnyTiling
    layout: Layout


@dataclass(kw_only=True)
class Transfer:
    """`rows` rows of `bytes` bytes between arena and chip, for a layer."""

    layer: int
    dram: int
    dram_pitch: int = 0
    rows: int = 1
    bytes: int
    chip: int
    chip_pitch: int = 0

    def __post_init__(self) -> None:
        """Rows that follow each other in both memories are one row."""
        if self.rows == 1 or self.dram_pitch == self.chip_pitch == self.bytes:
            self.bytes, self.rows = self.rows * self.bytes, 1
            self.dram_pitch = self.chip_pitch = 0


@dataclass(kw_only=True)
class Load(Transfer):
    """One LOAD.

    `after_*` is the last step, or store, that uses what it overwrites or writes what it reads. With
    a value in `fill`, it writes that and reads nothing.
    """

    space: Space
    fill: int | None = None
    after_step: int = -1
    after_store: int = -1


@dataclass
class Step:
    """One MATMUL. Addresses in bytes (activations, results), words (weights), rows, pairs.

    `layer` is the index of its layer, `table` that of the table on the chip; `after_slide` that of
    the last step of the engine which makes its activations, or reads what it overwrites, or -1.
    """

    layer: int
    nest: Nest
    first: bool
    last: bool
    act: int
    weight: int
    acc: int
    result: int
    parameter: int
    table: int
    after_load: int
    after_store: int
    after_slide: int = -1


@dataclass(kw_only=True)
class Slide:
    """One DEPTHWISE: the step of a layer on the depthwise engine.

    Parameters
    ----------
    layer : index of its layer; table : that of the table on the chip
    counts, act_steps, result_steps : of loop levels, the innermost first; steps in bytes
    fire, skip, delays : as in the instruction
    act, result : bytes; tap : words of the tap memory, and `tap_step` from group to group
    after_product : the last step of the array which makes what it reads, or reads what it
        overwrites, or -1
    """

    layer: int
    counts: Sequence[int]
    fire: int
    skip: int
    delays: tuple[int, int]
    act: int
    act_steps: Sequence[int]
    result: int
    result_steps: Sequence[int]
    tap: int
    tap_step: int
    table: int
    after_load: int
    after_store: int
    after_product: int = -1


@dataclass(kw_only=True)
class Store(Transfer):
    """One STORE: of results that `after_step` completes, or of what `after_load` brought."""

    after_step: int = -1
    after_load: int = -1


@dataclass
class Plan:
    """Loads, steps and stores of layers that run one after the other."""

    config: AcceleratorConfig
    layers: list[Layer] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    steps: list[Step | Slide] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)


def place_constants(
    config: AcceleratorConfig, problem: Problem, start: int = 0, taps: int = 0
) -> tuple[dict[str, int], int]:
    """(offsets of weights, parameters and table in the arena from `start` on, end of all).

    With `taps`, the constants are as many bytes for the depthwise engine, its parameters among
    them.
    """
    n_tiles = problem.tiles(config)[1]
    sizes = {
        "weights": taps or problem.weight_tiles(config) * config.tile_bytes,
        "parameters": 0 if taps else n_tiles * config.cols * PARAMETER_BYTES,
        "table": TABLE_SIZE if problem.table else 0,
    }
    offsets, at = {}, start
    for name, size in sizes.items():
        offsets[name] = at
        at = round_up(at + size, REGION_ALIGN)
    return offsets, at


def layout_of(
    config: AcceleratorConfig, problem: Problem, taps: int = 0
) -> tuple[Layout, int]:
    """(where constants, A, the result and what is added to it lie in an arena of one layer, its
    end)."""
    if isinstance(problem, GemmProblem):
        a_pitch = round_up(problem.k, GRANULE_BYTES)
        out_pitch = round_up(problem.n * problem.result_type.bytes, GRANULE_BYTES)
        a_rows, out_rows = problem.m, problem.m
    else:
        a_pitch = round_up(problem.width * problem.in_pixel, GRANULE_BYTES)
        a_rows, out_rows, out_pitch = problem.height, problem.pixels, problem.out_pixel
    constants, a = place_constants(config, problem, taps=taps)
    out = round_up(a + a_rows * a_pitch, REGION_ALIGN)
    residual = round_up(out + out_rows * out_pitch, REGION_ALIGN)
    end = residual
    if problem.residual:
        end = round_up(residual + out_rows * out_pitch, REGION_ALIGN)
    places = {**constants, "a": a, "a_pitch": a_pitch, "out": out, "out_pitch": out_pitch}
    places |= {"out_bytes": row_bytes(problem), "residual_pitch": row_bytes(problem)}
    return Layout(**places, source="a", target="out", residual=residual, added="residual"), end
