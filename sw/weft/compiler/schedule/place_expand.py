"""The product that makes the map of a window, on chip, line by line as the window asks for them.

Lines stand behind each other in places of their own, their borders between them, until there is no
place left. Then the next block starts at the first place again, with the lines that its windows
share with the block before: those are computed once more.
"""

from __future__ import annotations

from weft.compiler.graph.windowed import WindowProblem
from weft.errors import Unsupported
from weft_hw.isa import Space

from .chip import Chip, Ring
from .cut import Pass
from .nest import Loop, Nest
from .place_matmul import MatmulPlacer
from .plan import FusedTiling, Plan, Step, Tiling, Written, round_up
from .walk import Walk
from .windows import MapLines

__all__ = ["ExpandPlacer", "bytes_held"]


def bytes_held(window: WindowProblem, walk: Walk, lines: int, line_bytes: int) -> int:
    """Bytes of `lines` lines of a map on chip, and of what stands around them."""
    borders = MapLines(window, 0, 1, walk.ahead)
    return round_up(borders.lead + lines * borders.pitch + line_bytes, 64)


class ExpandPlacer(MatmulPlacer):
    """Adds the product of a layer to a plan, for the `window` behind it; `limit`: end of the
    scratchpad that both have, and `sums` the accumulators that others need."""

    def __init__(
        self, plan: Plan, index: int, chip: Chip, written: Written, window: WindowProblem,
        walk: Walk, limit: int, sums: int,
    ) -> None:  # fmt: skip
        super().__init__(plan, index, chip, written)
        tiling = plan.layers[index].tiling
        assert isinstance(tiling, FusedTiling)
        self.window, self.walk, self.held, self.sums = window, walk, tiling.held_lines, sums
        self.borders = MapLines(window, 0, 1, walk.ahead)
        size = bytes_held(window, walk, self.held, self.config.line_bytes)
        self.act_ring = Ring("scratchpad for activations", size, limit - size, chip.scratchpad)
        self.lines, *self.after = Ring("scratchpad for a map", 0, size, chip.scratchpad).take(size)
        #: Last step that reads the line at a place, by channels; and the last fill, and product.
        self.readers: dict[tuple[int, int], int] = {}
        self.filled, self.made, self.block = -1, -1, -1
        #: The line at the first place, those that the block adds, and the one behind the last.
        self.base, self.first, self.end = 0, 0, 0

    def tiling_of(self, plan: Plan, index: int) -> Tiling:
        problem, tiling = plan.layers[index].problem, plan.layers[index].tiling
        assert isinstance(tiling, FusedTiling) and not isinstance(problem, WindowProblem)
        return tiling.expand(problem, plan.config)

    def at(self, line: int) -> int:
        """Where line `line` of the map stands."""
        return self.lines.start + self.borders.lead + (line - self.base) * self.borders.pitch

    def bring(self, block: int, start: int, stop: int, channels: tuple[int, int]) -> int:
        """Make what results [start, stop) see of the channels [first, end); the first byte of it.

        What reads it waits for `filled` and `made`.
        """
        seen = MapLines(self.window, start, stop)
        if block != self.block:
            self._turn(block, seen)
        low, high = max(self.first, 0), min(self.end, self.window.height)
        if low < high:
            self._multiply(block, low, high, channels)
        self.lines.step = len(self.plan.steps)
        back = 1 if self.walk.offset < 0 else 0
        for line in range(seen.first - back, seen.end):
            self.readers[line - self.base, channels[0]] = len(self.plan.steps)
        return self.at(seen.first)

    def _turn(self, block: int, seen: MapLines) -> None:
        """A new block: the lines that it adds, and their borders."""
        fresh = self.block < 0
        self.block, self.first = block, self.end
        if fresh or seen.end - self.base > self.held:
            if seen.lines > self.held:
                message = f"a block sees {seen.lines} lines of the map, {self.held} are held"
                raise Unsupported(message)
            self.base = self.first = seen.first
        self.end = seen.end
        if fresh:
            self._fill(0, self.borders.lead)
            self._fill(
                self.borders.lead + self.borders.line,
                self.borders.border,
                self.held,
                self.borders.pitch,
            )
        for low, high in ((self.first, min(0, self.end)), (self.window.height, self.end)):
            low = max(low, self.first)
            if low < high:
                places = range(low - self.base, high - self.base)
                read = [step for (place, _), step in self.readers.items() if place in places]
                self._fill(
                    self.at(low) - self.lines.start,
                    self.borders.line,
                    high - low,
                    self.borders.pitch,
                    after=max(read, default=-1),
                )

    def _fill(self, at: int, size: int, rows: int = 1, pitch: int = 0, after: int = -1) -> None:
        if size <= 0:
            return
        self.filled = self.load(
            Space.SCRATCHPAD,
            dram=0,
            dram_pitch=size,
            rows=rows,
            bytes=size,
            chip=self.lines.start + at,
            chip_pitch=pitch,
            fill=self.window.window.value,
            after_step=max(after, self.after[0]),
            after_store=self.after[1],
        )

    def _multiply(self, block: int, low: int, high: int, channels: tuple[int, int]) -> None:
        """Append the step that makes lines [low, high)."""
        config, window, index = self.config, self.window, len(self.plan.steps)
        wide, column = window.width, self.column
        rows = (high - low) * wide
        if self.sums + rows > config.accumulator_rows:
            raise Unsupported(f"{self.sums} and {rows} accumulator rows are more than there are")
        kt = self.cut.k_tiles
        p = Pass(channels[0] // column, -(-channels[1] // column), 0, kt, 0)
        weight, weight_n, load_w = self.need_weights(block, p, index)
        act, act_pitch, load_a = self.need_activations(block, low * wide, rows, p, index)
        parameter, load_p = self.need_parameters(p.n0, p.n1, index)
        self.use_table(index)
        pixel, pitch = window.in_pixel // 4, self.borders.pitch // 4
        nest = Nest(
            (
                Loop(wide, act=act_pitch // 4, acc=1, result=pixel),
                Loop(high - low, act=wide * act_pitch // 4, acc=wide, result=pitch),
                Loop(kt, act=config.line_bytes // 4, weight=config.tile_words, reduces=True),
                Loop(
                    p.n1 - p.n0,
                    weight=weight_n,
                    result=column // 4,
                    parameter=config.cols // 2,
                ),
            ),
            tile_levels=2,
        )
        places = range(low - self.base, high - self.base)
        read = [self.readers.get((place, channels[0]), -1) for place in places]
        self.made = index
        self.plan.steps.append(
            Step(
                layer=self.index,
                nest=nest,
                first=True,
                last=True,
                act=act,
                weight=weight,
                acc=self.sums,
                result=self.at(low) + p.n0 * column,
                parameter=parameter,
                table=self.table,
                after_load=max(load_w, load_a, load_p, self.table_load),
                after_store=self.after[1],
                after_slide=max(*read, self.after[0]),
            )
        )
