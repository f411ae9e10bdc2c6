"""From a window over a map and its tiling to loads, steps and stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weft.compiler.graph.windowed import Channels, WindowProblem
from weft_hw.config import GRANULE_BYTES, PARAMETER_BYTES
from weft_hw.isa import Space, result_align_words
from weft_hw.numerics import TABLE_SIZE

from .chip import Chip, Held, Ring
from .cut import even_parts
from .nest import Loop, Nest
from .plan import Layer, Load, Plan, Step, Store, WindowTiling, Written, round_up, stores_of
from .windows import MapLines

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


class WindowPlacer:
    """Adds one window over a map to a plan."""

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written) -> None:
        layer: Layer = plan.layers[index]
        problem, tiling = layer.problem, layer.tiling
        assert isinstance(problem, WindowProblem) and isinstance(tiling, WindowTiling)
        self.plan, self.index, self.chip, self.written = plan, index, chip, written
        self.config, self.problem, self.tiling, self.layout = (
            plan.config, problem, tiling, layer.layout,
        )  # fmt: skip
        config = self.config
        self.runs, self.run_tiles = problem.runs(config)
        self.k_tiles, self.n_tiles = problem.tiles(config)
        self.column = config.cols * problem.result_type.bytes
        align = max(GRANULE_BYTES, 4 * result_align_words(problem.result_type, config))
        self.pitch = round_up(min(tiling.gather, self.n_tiles) * self.column, align)
        bank = config.scratchpad_bank_bytes
        limit = (config.scratchpad_banks - tiling.result_banks) * bank
        self.act_ring = Ring("scratchpad for maps", 0, limit, chip.scratchpad)
        self.out_ring = Ring(
            "scratchpad for results", limit, tiling.result_banks * bank, chip.scratchpad
        )
        self.weights: Held | None = None
        self.weights_load = -1
        self.parameters: dict[tuple[int, int], tuple[Held, int]] = {}
        self.table, self.table_load = 0, -1

    def load(self, space: Space, **fields: int) -> int:
        """Append a load of this layer; its index."""
        self.plan.loads.append(Load(layer=self.index, space=space, **fields))
        return len(self.plan.loads) - 1

    def build(self) -> None:
        """Append everything."""
        problem, tiling = self.problem, self.tiling
        high = problem.out[0]
        if problem.table:
            self._load_table()
        for start, stop in even_parts(0, high, tiling.lines):
            lines, place, load = self._map(start, stop)
            grain = max(1, GRANULE_BYTES // self.column)
            for gather in even_parts(0, self.n_tiles, tiling.gather, grain):
                self._group(start, stop, lines, place, load, gather)

    def _load_table(self) -> None:
        chip = self.chip
        self.table = chip.next_table
        chip.next_table = (self.table + 1) % len(chip.tables)
        self.table_load = self.load(
            Space.TABLES,
            dram=self.layout.table,
            bytes=TABLE_SIZE,
            chip=self.table * TABLE_SIZE,
            after_step=chip.tables[self.table],
        )

    def _map(self, start: int, stop: int) -> tuple[MapLines, Held, int]:
        """Bring the lines that results [start, stop) see, and their borders; (how they lie, where,
        last load)."""
        problem, layout = self.problem, self.layout
        lines = MapLines(problem, start, stop)
        place, step, store = self.act_ring.take(round_up(lines.bytes + self.config.rows, 64))
        first, end = lines.inside
        line_dram = lines.line
        begin = layout.a + first * line_dram
        stored = stores_of(self.written, layout.source, begin, layout.a + end * line_dram)

        def fill(at: int, size: int, rows: int = 1, pitch: int = 0) -> None:
            if size > 0 and rows > 0:
                self.load(
                    Space.SCRATCHPAD,
                    dram=0,
                    dram_pitch=size,
                    rows=rows,
                    bytes=size,
                    chip=place.start + at,
                    chip_pitch=pitch,
                    fill=problem.window.value,
                    after_step=step,
                    after_store=store,
                )

        fill(0, lines.at(first))
        fill(lines.at(first) + lines.line, lines.border, end - first, lines.pitch)
        fill(lines.at(end), lines.at(lines.end) - lines.at(end))
        load = self.load(
            Space.SCRATCHPAD,
            dram=begin,
            dram_pitch=line_dram,
            rows=end - first,
            bytes=lines.line,
            chip=place.start + lines.at(first),
            chip_pitch=lines.pitch,
            after_step=step,
            after_store=max(store, stored),
        )
        return lines, place, load

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
        problem, layout = self.problem, self.layout
        wide = problem.out[1]
        rows = (stop - start) * wide
        size, bank = rows * self.pitch, self.config.scratchpad_bank_bytes
        if problem.residual and self.tiling.result_banks >= 3 * -(-size // bank):
            size = round_up(size, bank)
        result, step, store = self.out_ring.take(size)
        left = gather[0] * self.column
        size = round_up(min(gather[1] * self.column, problem.out_pixel) - left, GRANULE_BYTES)
        begin, end = (start * wide * problem.out_pixel, stop * wide * problem.out_pixel)
        if problem.residual:
            base = layout.residual
            load = self.load(
                Space.SCRATCHPAD,
                dram=base + begin + left,
                dram_pitch=problem.out_pixel,
                rows=rows,
                bytes=size,
                chip=result.start,
                chip_pitch=self.pitch,
                after_step=step,
                after_store=max(
                    store, stores_of(self.written, layout.added, base + begin, base + end)
                ),
            )
        for part in self._parts(gather, rows):
            self._step(start, stop, lines, place, load, part, gather[0], result.start, store)
        result.step = len(self.plan.steps) - 1
        index = len(self.plan.stores)
        result.store = index
        wrote = (layout.out + begin, layout.out + end, index)
        self.written.setdefault(layout.target, []).append(wrote)
        self.plan.stores.append(
            Store(
                layer=self.index,
                dram=layout.out + begin + left,
                dram_pitch=problem.out_pixel,
                rows=rows,
                bytes=size,
                chip=result.start,
                chip_pitch=self.pitch,
                after_step=len(self.plan.steps) - 1,
            )
        )

    def _step(
        self, start: int, stop: int, lines: MapLines, place: Held, load: int, part: _Part,
        gather: int, result: int, after_store: int,
    ) -> None:  # fmt: skip
        config, problem, h = self.config, self.problem, self.config.tile_words
        index = len(self.plan.steps)
        weight, weight_n, load_w = self._need_weights(part, index)
        parameter, load_p = self._need_parameters(part, gather, index)
        place.step = index
        if problem.table:
            self.chip.tables[self.table] = index
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
                after_store=after_store,
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
