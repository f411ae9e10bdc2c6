"""From a window on the depthwise engine and its tiling to loads, steps and stores."""

from __future__ import annotations

from weft.compiler.graph.windowed import WindowProblem
from weft_hw.config import GRANULE_BYTES
from weft_hw.isa import TAPS, Space

from .chip import Chip, Held
from .cut import even_parts
from .depthwise import groups_of
from .place_map import MapPlacer
from .plan import Plan, Slide, Written
from .tiling import DepthwiseTiling, FusedTiling
from .walk import walk_of
from .windows import MapLines

__all__ = ["DepthwisePlacer"]


class DepthwisePlacer(MapPlacer):
    """Adds one window over a map to a plan."""

    @property
    def is_apart(self) -> bool:
        """Whether the results of each DEPTHWISE lie by themselves."""
        return True

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written) -> None:
        layer, config = plan.layers[index], plan.config
        problem, tiling = layer.problem, layer.tiling
        assert isinstance(problem, WindowProblem)
        assert isinstance(tiling, DepthwiseTiling | FusedTiling)
        walk = walk_of(config, problem)
        assert walk is not None
        self.problem, self.tiling, self.walk = problem, tiling, walk
        self.groups, self.words = groups_of(config, problem), walk.block_words(config)
        size = min(tiling.groups, self.groups) if self.is_apart else self.groups
        super().__init__(plan, index, chip, written, size, config.line_bytes)
        self.taps: dict[tuple[int, int], tuple[Held, int]] = {}

    def build(self) -> None:
        """Append everything."""
        tiling, grain = self.tiling, max(1, GRANULE_BYTES // self.column)
        wide = self.problem.out[1]
        self.load_table()
        for start, stop in even_parts(0, self.problem.out[0], tiling.lines):
            lines, place, load = self.bring(start, stop, self.walk.ahead)
            origin = place.start + lines.lead
            for gather in even_parts(0, self.groups, tiling.groups, grain):
                first, end = start * wide, stop * wide
                result, _, store = self.out_ring.take((end - first) * self.pitch)
                place.step = result.step = len(self.plan.steps)
                self.slide(start, stop, origin, gather, result.start, load, store)
                self.store(first, end, gather, result, result.start)

    def slide(
        self, start: int, stop: int, origin: int, gather: tuple[int, int], result: int,
        load: int, store: int, product: int = -1,
    ) -> None:  # fmt: skip
        """Append one step of a block and a gather group.

        The first line that its windows see, or would see of the border above, is at `origin`;
        results begin at `result`. It waits for a load, a store, and a step of the array.
        """
        problem, walk = self.problem, self.walk
        window, pixel, axis = problem.window, problem.in_pixel, int(walk.across)
        tap, load_taps = self.need_taps(gather)
        self.use_table(len(self.plan.steps))
        # By axis: down, across.
        size = (stop - start, problem.out[1])
        lines = MapLines(problem, start, stop)
        map_steps = (lines.pitch, pixel)
        result_steps = (size[1] * self.pitch, self.pitch)
        along, turn = map_steps[axis], map_steps[1 - axis]
        act = origin - lines.left + walk.offset * along
        self.plan.steps.append(
            Slide(
                layer=self.index,
                counts=(
                    walk.reads,
                    walk.other,
                    size[axis] + walk.skip,
                    size[1 - axis],
                    gather[1] - gather[0],
                ),
                fire=walk.fire,
                skip=walk.skip,
                delays=walk.delays,
                act=act + gather[0] * self.column,
                act_steps=(
                    walk.step * along,
                    window.dilation[1 - axis] * turn,
                    window.stride[axis] * along,
                    window.stride[1 - axis] * turn,
                    self.column,
                ),
                result=result,
                result_steps=(0, 0, result_steps[axis], result_steps[1 - axis], self.column),
                tap=tap,
                tap_step=self.words,
                table=self.table,
                after_load=max(load, load_taps, self.table_load),
                after_store=max(store, self.turn),
                after_product=product,
            )
        )

    def need_taps(self, gather: tuple[int, int]) -> tuple[int, int]:
        """(first word, load) of the taps of a gather group; those of all stay where they fit."""
        known = self.taps.get(gather)
        line, ring = self.column, self.chip.taps
        words, every = (gather[1] - gather[0]) * self.words, self.groups * self.words
        if known is None or known[0] not in ring.held:
            place, after, _ = ring.take(words * line)
            load = self.load(
                Space.TAPS,
                dram=self.layout.weights + gather[0] * self.words * line,
                dram_pitch=every * line,
                rows=TAPS,
                bytes=words * line,
                chip=place.start,
                chip_pitch=ring.size,
                after_step=after,
            )
            known = self.taps[gather] = (place, load)
        place, load = known
        place.step = len(self.plan.steps)
        return place.start // line, load
