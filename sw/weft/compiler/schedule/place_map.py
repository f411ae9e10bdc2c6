"""What a window brings to the chip: lines of its map, and their borders."""

from __future__ import annotations

from weft.compiler.graph.windowed import WindowProblem
from weft_hw.isa import Space

from .chip import Held
from .placer import Placer
from .plan import round_up, stores_of
from .windows import MapLines

__all__ = ["MapPlacer"]


class MapPlacer(Placer):
    """Adds one window over a map to a plan."""

    problem: WindowProblem

    def bring(
        self, start: int, stop: int, ahead: tuple[int, int] = (0, 0), after: int = -1
    ) -> tuple[MapLines, Held, int]:
        """Bring the lines that results [start, stop) see, and their borders; (how they lie, where,
        last load). Something lies in front of them as far as `ahead` says; step
        `after` comes before."""
        problem, layout = self.problem, self.layout
        lines = MapLines(problem, start, stop, ahead)
        place, step, store = self.act_ring.take(round_up(lines.bytes + self.config.rows, 64))
        step = max(step, after)
        first, end = lines.inside
        begin, behind = (layout.a + line * layout.a_pitch for line in (first, end))
        stored = stores_of(self.written, layout.source, begin, behind)

        load = -1

        def fill(at: int, size: int, rows: int = 1, pitch: int = 0) -> None:
            nonlocal load
            if size > 0 and rows > 0:
                load = self.load(
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
        if first < end:
            load = self.load(
                Space.SCRATCHPAD,
                dram=begin,
                dram_pitch=layout.a_pitch,
                rows=end - first,
                bytes=lines.line,
                chip=place.start + lines.at(first),
                chip_pitch=lines.pitch,
                after_step=step,
                after_store=max(store, stored),
            )
        return lines, place, load
