"""From a window over a map and its tiling to loads, steps and stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weft.compiler.graph.windowed import Channels, WindowProblem
from weft_hw.config import GRANULE_BYTES, PARAMETER_BYTES
from weft_hw.isa import Space

from .chip import Chip, Held
from .cut import even_parts
from .nest import Loop, Nest
from .place_map import MapPlacer
from .plan import Plan, Step, Written, round_up
from .tiling import WindowTiling
from .windows import BANKS, MapLines

__all__ = ["WindowPlacer"]


@dataclass(frozen=True)
class _Part:
    """Tiles [n0, n1) of columns, lines [y0, y1) of the kernel, and, where that is one, tiles [t0,
    t1) of it."""

    n0: int
    n1: int
    y0: int
    y1: int
    t0: int
    t1: int


class WindowPlacer(MapPlacer):
    """Adds one window over a map to a plan."""

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written) -> None:
        layer, config = plan.layers[index], plan.config
        problem, tiling = layer.problem, layer.tiling
        assert isinstance(problem, WindowProblem) and isinstance(tiling, WindowTiling)
        self.problem, self.tiling = problem, tiling
        self.runs, self.run_tiles = problem.runs(config)
        self.k_tiles, self.n_tiles = problem.tiles(config)
        super().__init__(plan, index, chip, written, min(tiling.gather, self.n_tiles))
        self.weights: Held | None = None
        self.weights_load = -1
        self.parameters: dict[tuple[int, int], tuple[Held, int]] = {}

    def build(self) -> None:
        """Append everything."""
        problem, tiling = self.problem, self.tiling
        grain = max(1, GRANULE_BYTES // self.column)
        self.load_table()
        for start, stop in even_parts(0, problem.out[0], tiling.lines):
            lines, place, load = self.bring(start, stop)
            for gather in even_parts(0, self.n_tiles, tiling.gather, grain):
                self._group(start, stop, lines, place, load, gather)

    def _parts(self, gather: tuple[int, int], rows: int) -> Iterator[_Part]:
        """How the tiles of a gather group are cut into steps."""
        (g0, g1), limit = gather, self.tiling.chunk_tiles
        down = self.problem.window.kernel[0]
        line = self.runs * self.run_tiles
        if self.problem.kind is Channels.ALIKE:
            # All columns are rows of one tile: as many as there are accumulators for.
            for n0, n1 in even_parts(g0, g1, max(1, self.config.accumulator_rows // rows)):
                yield _Part(n0, n1, 0, down, 0, line)
        elif self.k_tiles <= limit:
            for n0, n1 in even_parts(g0, g1, limit // self.k_tiles):
                yield _Part(n0, n1, 0, down, 0, line)
        else:
            for n in range(g0, g1):
                if line <= limit:
                    for y0, y1 in even_parts(0, down, limit // line):
                        yield _Part(n, n + 1, y0, y1, 0, line)
                    continue
                # Whole runs of a line, or parts of one run.
                run = self.run_tiles
                parts = even_parts(0, line, limit, run) if run <= limit else [
                    (first + t0, first + t1)
                    for first in range(0, line, run) for t0, t1 in even_parts(0, run, limit)
                ]  # fmt: skip
                for y in range(down):
                    for t0, t1 in parts:
                        yield _Part(n, n + 1, y, y + 1, t0, t1)

    def _group(
        self, start: int, stop: int, lines: MapLines, place: Held, load: int,
        gather: tuple[int, int],
    ) -> None:  # fmt: skip
        """Steps and the store of one block and one gather group."""
        wide, bank = self.problem.out[1], self.config.scratchpad_bank_bytes
        first, end = start * wide, stop * wide
        size = (end - first) * self.pitch
        if self.problem.residual and self.tiling.result_banks >= BANKS * -(-size // bank):
            size = round_up(size, bank)
        result, step, store = self.out_ring.take(size)
        if self.problem.residual:
            load = self.load_residual(first, end, gather, result, (step, store))
        for part in self._parts(gather, end - first):
            self._step(start, stop, lines, place, load, part, gather[0], result.start, store)
        result.step = len(self.plan.steps) - 1
        self.store(first, end, gather, result, result.start)

    def _step(
        self, start: int, stop: int, lines: MapLines, place: Held, load: int, part: _Part,
        gather: int, result: int, after_store: int,
    ) -> None:  # fmt: skip
        config, problem, h = self.config, self.problem, self.config.tile_words
        index = len(self.plan.steps)
        weight, weight_n, load_w = self._need_weights(part, index)
        parameter, load_p = self._need_parameters(part, gather, index)
        place.step = index
        self.use_table(index)
        window, pixel = problem.window, problem.in_pixel
        (stride_y, stride_x), (dilation_y, dilation_x) = window.stride, window.dilation
        wide, deep = problem.out[1], stop - start
        rows, count = wide * deep, part.n1 - part.n0
        line = self.runs * self.run_tiles
        whole = (part.y1 - part.y0, part.t1 - part.t0) == (window.kernel[0], line)
        alike = problem.kind is Channels.ALIKE
        # Groups of channels, of a map as of its result, are C bytes apart.
        step_n = 0 if problem.kind is Channels.ALL else config.cols // 4
        keeps = count > 1 and not whole
        across = [
            Loop(wide, stride_x * pixel // 4, acc=1, result=self.pitch // 4),
            Loop(deep, stride_y * lines.pitch // 4, acc=wide, result=wide * self.pitch // 4),
        ]
        columns = Loop(
            count,
            act=step_n,
            weight=0 if alike else weight_n,
            acc=rows if alike or keeps else 0,
            result=self.column // 4,
            parameter=0 if alike else config.cols // 2,
        )
        tiles = part.t1 - part.t0
        each = min(tiles, self.run_tiles)
        first_run, first_tile = divmod(part.t0, self.run_tiles)
        step_t = 0 if alike else h
        down = [
            Loop(each, config.rows // 4, h, reduces=True),
            Loop(tiles // each, dilation_x * pixel // 4, step_t * each, reduces=True),
            Loop(
                part.y1 - part.y0,
                dilation_y * lines.pitch // 4,
                step_t * line,
                reduces=True,
            ),
        ]
        nest = Nest.of([*across, columns], down) if alike else Nest.of(across, [*down, columns])
        act = lines.lead - lines.left + part.y0 * dilation_y * lines.pitch
        act += first_run * dilation_x * pixel + first_tile * config.rows + part.n0 * step_n * 4
        self.plan.steps.append(
            Step(
                layer=self.index,
                nest=nest,
                first=part.y0 == 0 and part.t0 == 0,
                last=part.y1 == window.kernel[0] and part.t1 == line,
                act=place.start + act,
                weight=weight,
                acc=0,
                result=result + (part.n0 - gather) * self.column,
                parameter=parameter,
                table=self.table,
                after_load=max(load, load_w, load_p, self.table_load),
                after_store=max(after_store, self.turn),
            )
        )

    def _need_weights(self, part: _Part, step: int) -> tuple[int, int, int]:
        """(address, stride along N, load index), in words, of the weights of a step."""
        config, problem = self.config, self.problem
        size, h = config.tile_bytes, config.tile_words
        line = self.runs * self.run_tiles
        first = part.y0 * line + part.t0
        if self.tiling.weights_resident:
            total = problem.weight_tiles(config) * size
            if self.weights is None:
                self.weights, after, _ = self.chip.weights.take(total)
                self.weights_load = self.load(
                    Space.WEIGHTS,
                    dram=self.layout.weights,
                    bytes=total,
                    chip=self.weights.start,
                    after_step=after,
                )
            self.weights.step = step
            at = 0 if problem.kind is Channels.ALIKE else part.n0 * self.k_tiles + first
            start = self.weights.start // config.weight_word_bytes + at * h
            return start, self.k_tiles * h, self.weights_load
        count, tiles = part.n1 - part.n0, (part.y1 - part.y0 - 1) * line + part.t1 - part.t0
        place, after, _ = self.chip.weights.take(count * tiles * size)
        place.step = step
        load = self.load(
            Space.WEIGHTS,
            dram=self.layout.weights + (part.n0 * self.k_tiles + first) * size,
            dram_pitch=self.k_tiles * size,
            rows=count,
            bytes=tiles * size,
            chip=place.start,
            chip_pitch=tiles * size,
            after_step=after,
        )
        return place.start // config.weight_word_bytes, tiles * h, load

    def _need_parameters(self, part: _Part, gather: int, step: int) -> tuple[int, int]:
        """(first pair, load index) of the parameters of a step: all, or those of its group."""
        config, alike = self.config, self.problem.kind is Channels.ALIKE
        entry = config.cols * PARAMETER_BYTES
        room = config.parameter_entries // config.cols
        n0, n1 = 0, 1 if alike else self.n_tiles
        if n1 > room:
            n0, n1 = gather, min(gather + self.tiling.gather, self.n_tiles)
        known = self.parameters.get((n0, n1))
        if known is None:
            self.parameters.clear()
            place, after, _ = self.chip.parameters.take((n1 - n0) * entry)
            load = self.load(
                Space.PARAMETERS,
                dram=self.layout.parameters + n0 * entry,
                bytes=(n1 - n0) * entry,
                chip=place.start,
                after_step=after,
            )
            known = self.parameters[n0, n1] = (place, load)
        place, load = known
        place.step = step
        offset = 0 if alike else (part.n0 - n0) * config.cols
        return (place.start // PARAMETER_BYTES + offset) // 2, load
