"""A window on the depthwise engine, and the product of its results, block by block at once.

The engine fills a place in the middle of the scratchpad with lines of results; the array takes
them from there while the engine fills another one. What lets the engine overwrite a place is the
load of the lines that it then reads: that load waits for the product of the place.
"""

from __future__ import annotations

from weft.compiler.graph.windowed import WindowProblem
from weft_hw.config import GRANULE_BYTES

from .chip import Chip, Held, Ring
from .cut import Pass, even_parts
from .place_depthwise import DepthwisePlacer
from .place_matmul import MatmulPlacer
from .plan import FusedTiling, Plan, Step, Tiling, Written

__all__ = ["FusedPlacer"]


class _ProductPlacer(MatmulPlacer):
    """The product of a pair: its activations are on chip."""

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written, turn: int) -> None:
        super().__init__(plan, index, chip, written)
        # What the engine waited for has ended, as this waits for the engine.
        self.turn, self.ended = -1, turn
        self.middle, self.middle_pitch, self.slide = Held(0, 0), 0, -1

    def tiling_of(self, plan: Plan, index: int) -> Tiling:
        window, product = (layer.problem for layer in plan.layers[index - 1 : index + 1])
        tiling = plan.layers[index].tiling
        assert isinstance(window, WindowProblem) and isinstance(tiling, FusedTiling)
        assert not isinstance(product, WindowProblem)
        return tiling.product(product, window.out[1])

    def need_activations(
        self, block: int, m0: int, rows: int, p: Pass, step: int
    ) -> tuple[int, int, int]:
        """As for a product alone, but that nothing is loaded."""
        self.middle.step = step
        return self.middle.start + p.k0 * self.config.rows, self.middle_pitch, -1

    def step(
        self, block: int, m0: int, rows: int, first: int, stop: int, p: Pass, result: int,
        gather: int, after_store: int,
    ) -> None:  # fmt: skip
        """As for a product alone, behind the engine."""
        after = after_store if after_store > self.ended else -1
        super().step(block, m0, rows, first, stop, p, result, gather, after)
        made = self.plan.steps[-1]
        assert isinstance(made, Step)
        made.after_slide = self.slide


class FusedPlacer(DepthwisePlacer):
    """Adds a window, and the product behind it in the plan, to the plan."""

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written) -> None:
        super().__init__(plan, index, chip, written)
        assert isinstance(self.tiling, FusedTiling)
        bank, banks = self.config.scratchpad_bank_bytes, self.config.scratchpad_banks
        tiling = self.tiling
        limit = (banks - tiling.middle_banks - tiling.result_banks) * bank
        size = tiling.middle_banks * bank
        self.act_ring = Ring("scratchpad for activations", 0, limit, chip.scratchpad)
        self.out_ring = Ring("scratchpad between layers", limit, size, chip.scratchpad)
        self.product = _ProductPlacer(plan, index + 1, chip, written, self.turn)

    def build(self) -> None:
        """Append everything; the engine is a block ahead."""
        tiling, product, plan = self.tiling, self.product, self.plan
        grain = max(1, GRANULE_BYTES // self.column)
        wide = self.problem.out[1]
        self.load_table()
        product.load_table()
        ready: list[tuple[int, int, int, Held, int]] = []
        for block, (start, stop) in enumerate(self.blocks()):
            rows = (stop - start) * wide
            middle, step, _ = self.out_ring.take(rows * self.pitch)
            lines, place, load = self.bring(start, stop, self.walk.ahead, step)
            for gather in even_parts(0, self.groups, tiling.groups, grain):
                place.step = middle.step = len(plan.steps)
                at = middle.start + gather[0] * self.column
                self.slide(start, stop, lines, place, load, gather, at, -1)
            ready.append((block, start * wide, stop * wide, middle, len(plan.steps) - 1))
            if block:
                self._multiply(*ready.pop(0))
        self._multiply(*ready.pop(0))

    def blocks(self) -> list[tuple[int, int]]:
        """Lines of each block: all as many, but for the last."""
        high, lines = self.problem.out[0], self.tiling.lines
        return [(start, min(start + lines, high)) for start in range(0, high, lines)]

    def _multiply(self, block: int, first: int, stop: int, middle: Held, slide: int) -> None:
        """Steps and stores of the product of one block."""
        product = self.product
        product.middle, product.middle_pitch, product.slide = middle, self.pitch, slide
        for gather in product.cut.gathers:
            product.group(block, first, stop, gather, False)
