"""A window on the depthwise engine, and the product of its results, block by block at once.

The engine fills a place in the middle of the scratchpad with results; the array takes them from
there while the engine fills another one. Where the map is loaded, what lets the engine overwrite a
place is the load of the lines that it then reads: that load waits for the product of the place.
Where the array makes the map, it does so between products: what makes the lines that the engine
then reads comes behind the product of the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft.errors import Unsupported
from weft_hw.config import GRANULE_BYTES, PARAMETER_BYTES

from .chip import Chip, Held, Ring
from .cut import Pass, even_parts
from .place_depthwise import DepthwisePlacer
from .place_expand import ExpandPlacer, bytes_given
from .place_matmul import MatmulPlacer
from .plan import Plan, Step, Written
from .tiling import FusedTiling, Tiling

__all__ = ["FusedPlacer"]


@dataclass(frozen=True)
class _Ready:
    """What the step `slide` of the engine made: of block `block` the rows [first, end), and of
    those the tiles [first, end) along K, in `middle`, where tile `origin` begins it; they are the
    last ones where it `ends`."""

    block: int
    rows: tuple[int, int]
    middle: Held
    origin: int
    k: tuple[int, int]
    slide: int
    ends: bool


class _ProductPlacer(MatmulPlacer):
    """The product of what the engine makes: its activations are on chip."""

    def __init__(
        self, plan: Plan, index: int, chip: Chip, written: Written, turn: int, pitch: int
    ) -> None:
        super().__init__(plan, index, chip, written)
        # What the engine waited for has ended, as this waits for the engine.
        self.turn, self.ended = -1, turn
        self.middle_pitch = pitch
        self.ready = _Ready(0, (0, 0), Held(0, 0), 0, (0, 0), -1, False)
        tiling = plan.layers[index].tiling
        assert isinstance(tiling, FusedTiling)
        self.k_outermost = tiling.k_outermost

    def tiling_of(self, plan: Plan, index: int) -> Tiling:
        window, product = (layer.problem for layer in plan.layers[index - 1 : index + 1])
        tiling = plan.layers[index].tiling
        assert isinstance(window, WindowProblem) and isinstance(tiling, FusedTiling)
        assert not isinstance(product, WindowProblem)
        return tiling.product(product, window.out[1])

    def take(self, ready: _Ready) -> None:
        """Steps, and stores, of the product of what is ready."""
        self.ready = ready
        first, stop = ready.rows
        if ready.ends or not self.k_outermost:
            for gather in self.cut.gathers:
                self.group(ready.block, first, stop, gather, False)
            return
        rows, p = stop - first, Pass(0, self.cut.n_tiles, *self._k(), 0)
        self.step(ready.block, first, rows, 0, rows, p, 0, 0, -1)

    def _k(self) -> tuple[int, int]:
        """Tiles along K that are ready: the engine may make more, of no use."""
        k0, k1 = self.ready.k
        return k0, min(k1, self.cut.k_tiles)

    def passes(self, block: int, gather: tuple[int, int], final: bool) -> Iterable[Pass]:
        """As for a product alone, or only those along K that are ready."""
        if not self.k_outermost:
            return super().passes(block, gather, final)
        return [Pass(*gather, *self._k(), 0)]

    def bring(self, parts: Sequence[tuple[int, int]]) -> None:
        """Load the constants of the first block; where they do not stay, of its first step."""
        found: list[Pass] = []
        if self.k_outermost:
            *others, (k0, stop) = parts
            k1 = min(stop, self.cut.k_tiles)
            found = [Pass(0, self.cut.n_tiles, *part, 0) for part in others]
            found += [Pass(*gather, k0, k1, 0) for gather in self.cut.gathers]
        else:
            for gather in self.cut.gathers:
                found += self.cut.passes(0, gather, False)
        step = len(self.plan.steps)
        for p in found if self.tiling.weights_resident else found[:1]:
            self.need_weights(0, p, step)
            self.need_parameters(p.n0, p.n1, step)

    def need_activations(
        self, block: int, m0: int, rows: int, p: Pass, step: int
    ) -> tuple[int, int, int]:
        """As for a product alone, but that nothing is loaded."""
        middle = self.ready.middle
        middle.step = step
        begin = middle.start + (p.k0 - self.ready.origin) * self.config.rows
        return begin, self.middle_pitch, -1

    def step(
        self, block: int, m0: int, rows: int, first: int, stop: int, p: Pass, result: int,
        gather: int, after_store: int,
    ) -> None:  # fmt: skip
        """As for a product alone, behind the engine."""
        after = after_store if after_store > self.ended else -1
        super().step(block, m0, rows, first, stop, p, result, gather, after)
        made = self.plan.steps[-1]
        assert isinstance(made, Step)
        made.after_slide = self.ready.slide


class FusedPlacer(DepthwisePlacer):
    """Adds a window, the product behind it in the plan, and maybe that in front of it."""

    tiling: FusedTiling

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written) -> None:
        super().__init__(plan, index, chip, written)
        tiling = self.tiling
        bank, banks = self.config.scratchpad_bank_bytes, self.config.scratchpad_banks
        limit = (banks - tiling.middle_banks - tiling.result_banks) * bank
        self.act_ring = Ring("scratchpad for activations", 0, limit, chip.scratchpad)
        #: Where the map begins that the engine sees, what brings it, and where it puts results.
        self.origin, self.brought, self.place = 0, -1, Held(0, 0)
        self.middle, self.after = Held(0, 0), (-1, -1)
        self.expand = None
        given = 0
        if tiling.held_lines:
            # All that it waits for, the array waits for in front of it.
            self.turn = -1
            front = plan.layers[index - 1].problem
            behind = plan.layers[index + 1].problem
            assert isinstance(front, GemmProblem) and isinstance(behind, GemmProblem)
            given = bytes_given(self.config, self.problem, front, tiling.lines)
            self._keep_apart(front, behind)
        size = tiling.middle_banks * bank - given
        self.out_ring = Ring("scratchpad between layers", limit, size, chip.scratchpad)
        self.product = _ProductPlacer(plan, index + 1, chip, written, self.turn, self.pitch)
        if tiling.held_lines:
            ring = Ring("scratchpad for activations", limit + size, given, chip.scratchpad)
            self.expand = self._expand(ring, limit)

    def _keep_apart(self, *products: GemmProblem) -> None:
        """Let neither of two products take what the other one keeps on chip."""
        config, chip = self.config, self.chip
        n_tiles = sum(product.tiles(config)[1] for product in products)
        chip.parameters.together(n_tiles * config.cols * PARAMETER_BYTES)
        if self.tiling.weights_resident:
            chip.weights.together(sum(p.weight_tiles(config) for p in products) * config.tile_bytes)

    def _expand(self, given: Ring, limit: int) -> ExpandPlacer:
        """What makes the map, of what `given` holds; behind it, up to `limit`, are results.

        The array reads what is given, and between layers; the engine reads the map: never the same
        bank. Results are in the way of the engine, where a store of them is, but not of the array.
        """
        problem, tiling, product = self.problem, self.tiling, self.product
        rows = tiling.lines * problem.out[1]
        sums = rows * product.cut.n_tiles if tiling.k_outermost else 0
        expand = ExpandPlacer(
            self.plan, self.index - 1, self.chip, self.written, problem, self.walk, given, sums
        )
        product.out_ring = Ring(
            "scratchpad for results", expand.lines.end, limit - expand.lines.end,
            self.chip.scratchpad,
        )  # fmt: skip
        return expand

    @property
    def is_apart(self) -> bool:
        """Whether the results of each DEPTHWISE lie by themselves, and not in rows of all."""
        return self.tiling.held_lines > 0 and self.tiling.k_outermost

    def build(self) -> None:
        """Append everything; the engine is a block, or a group of channels, ahead."""
        tiling, product = self.tiling, self.product
        wide, grain = self.problem.out[1], max(1, GRANULE_BYTES // self.column)
        for placer in (self.expand, self, product):
            if placer is not None:
                placer.load_table()
        parts = even_parts(0, self.groups, tiling.groups, grain)
        high, lines = self.problem.out[0], tiling.lines
        if self.index and self.expand is None:
            # The map comes when the layer before has made it; what is there already goes first.
            self.need_taps(parts[0])
            product.bring(parts)
        waiting: list[_Ready] = []
        for block, start in enumerate(range(0, high, lines)):
            stop = min(start + lines, high)
            rows = (start * wide, stop * wide)
            for part in parts:
                if part == parts[0] or self.is_apart:
                    size = (rows[1] - rows[0]) * self.pitch
                    self.middle, *after = self.out_ring.take(size)
                    self.after = (after[0], after[1])
                    if any(one.middle not in self.chip.scratchpad for one in waiting):
                        raise Unsupported("there is one place for the results of two blocks")
                first = part[0] if self.is_apart else 0
                self._slide(block, start, stop, part, self.middle.start - first * self.column)
                ends = part == parts[-1]
                if ends or tiling.k_outermost:
                    k = part if tiling.k_outermost else (0, self.groups)
                    slide = len(self.plan.steps) - 1
                    waiting.append(_Ready(block, rows, self.middle, first, k, slide, ends))
                if len(waiting) > 1:
                    product.take(waiting.pop(0))
        product.take(waiting.pop(0))

    def _slide(self, block: int, start: int, stop: int, part: tuple[int, int], result: int) -> None:
        """Append one step of the engine, and what brings, or makes, what it sees; the results of
        the first channel of all would be at `result`."""
        at, made = result + part[0] * self.column, -1
        if self.expand is not None:
            channels = (part[0] * self.column, part[1] * self.column)
            self.origin = self.expand.bring(block, start, stop, channels, self.after)
            self.brought, made = self.expand.filled, self.expand.made
        elif part[0] == 0:
            ahead, after = self.walk.ahead, self.after[0]
            lines, self.place, self.brought = self.bring(start, stop, ahead, after)
            self.origin = self.place.start + lines.lead
        self.place.step = self.middle.step = len(self.plan.steps)
        self.slide(start, stop, self.origin, part, at, self.brought, -1, made)
