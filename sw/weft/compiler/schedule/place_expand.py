"""The product that makes the map of a window, on chip, line by line as the window asks for them.

Lines stand behind each other in places of their own, their borders between them, until there is no
place left. Then the next block starts at the first place again. The lines that its windows share
with the block before go there by way of the arena, while the array is busy.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft.errors import Unsupported
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import Space

from .chip import Chip, Ring
from .cut import Pass
from .nest import Loop, Nest
from .place_matmul import MatmulPlacer
from .plan import Plan, Step, Store, Written, round_up
from .tiling import DepthwiseTiling, FusedTiling, Tiling
from .walk import Walk
from .windows import MapLines

__all__ = ["ExpandPlacer", "bytes_given", "bytes_held", "bytes_moved"]


def bytes_held(window: WindowProblem, walk: Walk, lines: int, line_bytes: int) -> int:
    """Bytes of `lines` lines of a map on chip, and of what stands around them."""
    borders = MapLines(window, 0, 1, walk.ahead)
    return round_up(borders.lead + lines * borders.pitch + line_bytes, 64)


def bytes_given(
    config: AcceleratorConfig, window: WindowProblem, expand: GemmProblem, lines: int
) -> int:
    """Bytes on chip of what the map is made of: for two blocks of `lines` results, or for all."""
    high = window.out[0]
    seen = min(MapLines(window, 0, lines).lines, window.height)
    line = window.width * round_up(expand.k, max(GRANULE_BYTES, config.line_bytes))
    return (1 if lines >= high else 2) * round_up(seen * line, 64)


def bytes_moved(window: WindowProblem, tiling: FusedTiling) -> int:
    """Bytes of the arena by way of which lines go to another place: twice those of a block."""
    borders, block = MapLines(window, 0, 1), MapLines(window, 0, tiling.lines)
    every = (window.out[0] - 1) * window.window.stride[0] + window.window.reach[0]
    turns = 0 < tiling.held_lines < every
    shared = block.end - window.window.stride[0] * tiling.lines - block.first
    return 2 * max(0, shared) * borders.pitch if turns else 0


class ExpandPlacer(MatmulPlacer):
    """Adds the product of a layer to a plan, for the `window` behind it.

    The map begins the scratchpad; what it is made of comes into `given`. The first `sums`
    accumulators are not the layer's.
    """

    def __init__(
        self, plan: Plan, index: int, chip: Chip, written: Written, window: WindowProblem,
        walk: Walk, given: Ring, sums: int,
    ) -> None:  # fmt: skip
        super().__init__(plan, index, chip, written)
        tiling = plan.layers[index].tiling
        assert isinstance(tiling, FusedTiling)
        self.window, self.walk, self.held, self.sums = window, walk, tiling.held_lines, sums
        self.borders = MapLines(window, 0, 1, walk.ahead)
        size = bytes_held(window, walk, self.held, self.config.line_bytes)
        self.act_ring = given
        self.lines, *self.after = Ring("scratchpad for a map", 0, size, chip.scratchpad).take(size)
        #: The store that a product waits for before it overwrites what was there. All steps of the
        #: layers before have ended; those of a window alone on the engine, with its stores.
        self.before = self.after[1]
        if index and isinstance(plan.layers[index - 1].tiling, DepthwiseTiling):
            self.before = len(plan.stores) - 1
        #: Last step, by channels, and last store that read the line at a place; the load to it.
        self.readers: dict[tuple[int, int], int] = {}
        self.stores: dict[tuple[int, int], int] = {}
        self.loads: dict[tuple[int, int], int] = {}
        #: Last load to the map, and the step that it is behind; last product, and block.
        self.filled, self.behind, self.made, self.block = -1, -1, -1, -1
        #: How often lines went to the first place.
        self.moves = 0
        #: The line at the first place, those that the block adds, and the one behind the last.
        self.base, self.first, self.end = 0, 0, 0

    def tiling_of(self, plan: Plan, index: int) -> Tiling:
        problem, tiling = plan.layers[index].problem, plan.layers[index].tiling
        assert isinstance(tiling, FusedTiling) and not isinstance(problem, WindowProblem)
        return tiling.expand(problem, plan.config)

    def at(self, line: int) -> int:
        """Where line `line` of the map stands."""
        return self.lines.start + self.borders.lead + (line - self.base) * self.borders.pitch

    def bring(
        self, block: int, start: int, stop: int, channels: tuple[int, int], after: tuple[int, int]
    ) -> int:
        """Make what results [start, stop) see of the channels [first, end); the first byte of it.

        What reads it waits for `filled` and `made`; the last one of these is behind a step and a
        store, those `after` which the results have their place.
        """
        seen = MapLines(self.window, start, stop)
        saved = self._turn(block, seen, after[0]) if block != self.block else 0
        low, high = max(self.first, 0), min(self.end, self.window.height)
        if low < high:
            self._multiply(block, low, high, channels, after[1])
        if saved:  # what the product needs is loaded first
            self._restore(saved)
        self.lines.step = len(self.plan.steps)
        if after[0] > max(self.made, self.behind):
            raise Unsupported(f"nothing that a block waits for is behind step {after[0]}")
        back = 1 if self.walk.offset < 0 else 0
        for line in range(seen.first - back, seen.end):
            self.readers[line - self.base, channels[0]] = len(self.plan.steps)
        return self.at(seen.first)

    def _save(self, seen: MapLines) -> int:
        """Store the lines that a block shares with the one before, which then has the first place;
        how many."""
        lines, size = self.end - seen.first, self._size(self.end - seen.first)
        places = range(seen.first - self.base, self.end - self.base)
        self.moves += 1
        self.stores |= {(place, 0): len(self.plan.stores) for place in places}
        self.plan.stores.append(
            Store(
                layer=self.index,
                dram=self.layout.out + self.moves % 2 * size,
                bytes=size,
                chip=self.at(seen.first),
                after_step=len(self.plan.steps) - 1,
                after_load=self._last(self.loads, places),
            )
        )
        return lines

    def _size(self, lines: int) -> int:
        """Bytes of lines; the border behind the last is the same everywhere."""
        return lines * self.borders.pitch - self.borders.border

    def _restore(self, lines: int) -> None:
        """Load them again."""
        places, size = range(lines), self._size(lines)
        self.filled = self.load(
            Space.SCRATCHPAD,
            dram=self.layout.out + self.moves % 2 * size,
            bytes=size,
            chip=self.at(self.base),
            after_step=self._last(self.readers, places),
            after_store=max(self.stores.values()),  # the one that saved them, the newest
        )
        self.loads |= {(place, 0): self.filled for place in places}

    @staticmethod
    def _last(users: Mapping[tuple[int, int], int], places: Container[int]) -> int:
        """The last one that uses any of `places`, or -1."""
        return max((user for (place, _), user in users.items() if place in places), default=-1)

    def _turn(self, block: int, seen: MapLines, after: int) -> int:
        """A new block: the lines that it adds, and their borders; how many are to be loaded
        again."""
        saved = 0
        if self.block < 0:
            self.base = self.end = seen.first
            borders = self.borders
            self._fill(0, borders.lead)
            self._fill(borders.lead + borders.line, borders.border, self.held, borders.pitch)
        elif seen.end - self.base > self.held:
            if self.end > seen.first and isinstance(self.plan.steps[-1], Step):
                saved = self._save(seen)
            else:  # there is none, or nothing that a store could wait for
                self.end = seen.first
            self.base = seen.first
        if seen.lines > self.held:
            raise Unsupported(f"a block sees {seen.lines} lines of the map, {self.held} are held")
        self.block, self.first, self.end = block, self.end, seen.end
        for low, high in ((self.first, min(0, self.end)), (self.window.height, self.end)):
            low = max(low, self.first)
            if low < high:
                places = range(low - self.base, high - self.base)
                # Where there are none but these, nothing else is behind that step.
                self.behind = after if low == self.first else self.behind
                self._fill(
                    self.at(low) - self.lines.start,
                    self.borders.line,
                    high - low,
                    self.borders.pitch,
                    max(self._last(self.readers, places), self.behind),
                    self._last(self.stores, places),
                )
                self.loads |= {(place, 0): self.filled for place in places}
        return saved

    def _fill(
        self, at: int, size: int, rows: int = 1, pitch: int = 0, step: int = -1,
        store: int = -1,
    ) -> None:  # fmt: skip
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
            after_step=max(step, self.after[0]),
            after_store=max(store, self.after[1]),
        )

    def _multiply(
        self, block: int, low: int, high: int, channels: tuple[int, int], store: int
    ) -> None:
        """Append the step that makes lines [low, high), behind `store`."""
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
        stored = self._last(self.stores, places)
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
                after_store=max(store, stored, self.before),
                after_slide=max(read),
            )
        )
