"""How N and K are cut: gather groups that are stored together, and passes of one MATMUL each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from weft.compiler.graph.matmul import GemmProblem
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES

from .plan import round_up
from .tiling import Tiling

__all__ = ["Cut", "Pass", "even_parts"]


def even_parts(start: int, stop: int, limit: int, grain: int = 1) -> list[tuple[int, int]]:
    """[start, stop) in the fewest parts of at most `limit`, nearly equal multiples of `grain`."""
    units, most = -(-(stop - start) // grain), max(1, limit // grain)
    count = -(-units // most)
    cuts = [start + units * i // count * grain for i in range(count)] + [stop]
    return list(zip(cuts[:-1], cuts[1:]))


@dataclass(frozen=True)
class Pass:
    """Tiles [n0, n1) x [k0, k1); `acc_n` is the column whose accumulators start at row 0."""

    n0: int
    n1: int
    k0: int
    k1: int
    acc_n: int


class Cut:
    """The cuts that a tiling makes.

    Parameters
    ----------
    config, problem, tiling : what is cut, and how.
    """

    def __init__(self, config: AcceleratorConfig, problem: GemmProblem, tiling: Tiling) -> None:
        self.config, self.problem, self.tiling = config, problem, tiling
        self.k_tiles, self.n_tiles = problem.tiles(config)
        #: Bytes of the results of one tile in one row.
        self.column_bytes = config.cols * problem.result_type.bytes
        #: Tiles along K that one granule of DRAM spans: loads begin at multiples of this.
        self.k_grain = max(1, GRANULE_BYTES // config.rows)

    @cached_property
    def parameter_span(self) -> int:
        """Tiles along N that one region of the parameter memory holds."""
        room = self.config.parameter_entries // self.config.cols
        return self.n_tiles if self.n_tiles <= room else room // 2

    @cached_property
    def gathers(self) -> list[tuple[int, int]]:
        """Groups of tile columns that are stored together; none crosses a parameter region."""
        t, found = self.tiling, []
        step = max(1, GRANULE_BYTES // self.column_bytes)
        for start in range(0, self.n_tiles, span := self.parameter_span):
            stop = min(start + span, self.n_tiles)
            end = stop
            if stop == self.n_tiles and t.last_gather < min(t.gather, stop - start):
                end = start + (stop - start - t.last_gather) // step * step
            found += [(n, min(n + t.gather, end)) for n in range(start, end, t.gather)]
            if end < stop:
                found.append((end, stop))
        return found

    def passes(self, block: int, gather: tuple[int, int], final: bool) -> Iterator[Pass]:
        """How the tiles of a gather group are cut into steps."""
        t, (g0, g1), kt = self.tiling, gather, self.k_tiles
        if t.final_chunk:
            first = bisect_left(self.balanced_passes, g0, key=lambda p: p.n0)
            stop = bisect_left(self.balanced_passes, g1, key=lambda p: p.n0)
            yield from self.balanced_passes[first:stop]
            return
        starting = block == 0 and g0 == 0
        if t.weights_resident and not starting and not final:
            yield Pass(g0, g1, 0, kt, g0)
            return
        by_k = starting or final or not t.activations_resident
        if not by_k and kt <= t.chunk_tiles:
            for n0, n1 in even_parts(g0, g1, t.chunk_tiles // kt):
                yield Pass(n0, n1, 0, kt, n0)
            return
        room = self.config.accumulator_rows // min(t.block_rows, self.problem.m)
        group = min(g1 - g0, room, max(1, t.chunk_tiles // self.k_grain)) if by_k else 1
        for a0, a1 in even_parts(g0, g1, group):
            for k0, k1 in self.k_parts(max(1, t.chunk_tiles // (a1 - a0)), starting, final):
                if starting and k0 == 0 and a0 == 0 and a1 > 1:
                    yield Pass(0, 1, k0, k1, 0)
                    yield Pass(1, a1, k0, k1, 0)
                else:
                    yield Pass(a0, a1, k0, k1, a0)
            starting = False

    def k_parts(self, limit: int, starting: bool, final: bool) -> list[tuple[int, int]]:
        """K in chunks of at most `limit` tiles; small first ones, and a small last one."""
        grain, parts, at, stop = self.k_grain, [], 0, self.k_tiles
        limit = max(grain, limit // grain * grain)
        size = round_up(self.tiling.first_k, grain)
        last = min(4, limit, stop // 2) if final else 0
        last += (stop - last) % grain if last else 0
        while starting and size < limit and at + size < stop - last:
            parts.append((at, at + size))
            at, size = at + size, 2 * size
        if at < stop - last:
            parts += even_parts(at, stop - last, limit, grain)
        return parts + ([(stop - last, stop)] if last else [])

    @cached_property
    def balanced_passes(self) -> list[Pass]:
        """Chunks, found from the end, no longer than what compute may lag behind the loads.

        Compute ends the time of one chunk after the loads. With each chunk it catches up by what
        the bus spends on instructions and parameters, so chunks may grow towards the front.
        """
        kt, limit = self.k_tiles, self.tiling.chunk_tiles
        cycles = self.config.tile_words * self.config.dma_bytes
        instructions = 2 * INSTRUCTION_BYTES / cycles
        parameters = self.config.cols * 8 / cycles
        starts = [g0 for g0, _ in self.gathers]
        found: list[Pass] = []
        lag, n = float(self.tiling.final_chunk), self.n_tiles
        while n > 0:
            most = min(int(lag), limit)
            start = starts[bisect_left(starts, n) - 1]
            columns = max(1, min(most // kt, n - start))
            parts = even_parts(0, kt, most) if columns == 1 else [(0, kt)]
            found += [Pass(n - columns, n, k0, k1, n - columns) for k0, k1 in parts[::-1]]
            lag += instructions * len(parts) + columns * parameters
            n -= columns
        return found[::-1]
