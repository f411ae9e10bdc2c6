"""From a tiling to loads, matrix steps and stores: addresses, sizes and who waits for whom.

A plan holds three lists, one per unit, each in the order in which its unit works. Dependencies point
from one list into another by index. Nothing here knows about semaphores or queues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import INSTRUCTION_BYTES, Space, result_align_words

from ..errors import Unsupported
from .problem import GemmProblem

__all__ = ["Layout", "Load", "Pass", "Plan", "Step", "Store", "Tiling", "build_plan", "round_up"]

#: Regions of the arena start at multiples of this: every port begins with a whole stripe.
REGION_ALIGN = 4096
#: Tiles along N whose parameters one load brings, at most.
PARAMETER_TILES = 16


def round_up(value: int, step: int) -> int:
    """Smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def even_parts(start: int, stop: int, limit: int, grain: int = 1) -> list[tuple[int, int]]:
    """[start, stop) in the fewest parts of at most `limit`, nearly equal multiples of `grain`."""
    units, most = -(-(stop - start) // grain), max(1, limit // grain)
    count = -(-units // most)
    cuts = [start + units * i // count * grain for i in range(count)] + [stop]
    return list(zip(cuts[:-1], cuts[1:]))


@dataclass(frozen=True)
class Tiling:
    """The choices that make a schedule. Tiles are R x C weight tiles.

    Parameters
    ----------
    block_rows : int
        Rows of A that one block of M holds.
    gather : int, tiles
        Columns of tiles whose results are gathered on chip before a store.
    last_gather : int, tiles
        The same for the last store of a block; small, so that little is left to write at the end.
    result_banks : int
        Scratchpad banks that hold results; the others hold activations.
    chunk_tiles : int
        Weight tiles of one load and one MATMUL, at most.
    activations_resident : bool
        A block of A is loaded once; otherwise it is loaded again for each group of columns.
    weights_resident : bool
        All weights are loaded once; otherwise they are loaded again for each block.
    first_k : int, tiles
        Tiles along K of the very first loads, which double from one to the next.
    last_rows : int
        Rows of the steps that end the program; 0 for whole blocks.
    final_chunk : int, tiles
        Not 0 where weights arrive as fast as they are used: the last chunk, towards which the others
        shrink, so that compute ends soon after the loads.
    """

    block_rows: int
    gather: int
    last_gather: int
    result_banks: int
    chunk_tiles: int
    activations_resident: bool
    weights_resident: bool
    first_k: int
    last_rows: int = 0
    final_chunk: int = 0


@dataclass(frozen=True)
class Layout:
    """Byte offsets and pitches in the arena, before the program itself."""

    weights: int
    parameters: int
    table: int
    a: int
    a_pitch: int
    out: int
    out_pitch: int
    end: int


@dataclass
class Load:
    """One LOAD; `after_step` is the last step that uses what it overwrites, or -1."""

    space: Space
    dram: int
    dram_pitch: int
    rows: int
    bytes: int
    chip: int
    chip_pitch: int
    after_step: int = -1


@dataclass(frozen=True)
class Pass:
    """Tiles [n0, n1) x [k0, k1); `acc_n` is the column whose accumulators start at row 0."""

    n0: int
    n1: int
    k0: int
    k1: int
    acc_n: int


@dataclass
class Step:
    """One MATMUL. Addresses in bytes (activations, results), words (weights), rows, pairs."""

    rows: int
    k_tiles: int
    n_tiles: int
    first: bool
    last: bool
    act: int
    act_pitch: int
    weight: int
    weight_n: int
    acc: int
    acc_n: int
    result: int
    parameter: int
    after_load: int
    after_store: int


@dataclass
class Store:
    """One STORE of results that `after_step` completes."""

    dram: int
    dram_pitch: int
    rows: int
    bytes: int
    chip: int
    chip_pitch: int
    after_step: int


@dataclass
class Plan:
    """Loads, steps and stores of one problem under one tiling."""

    config: AcceleratorConfig
    problem: GemmProblem
    tiling: Tiling
    layout: Layout
    result_pitch: int
    loads: list[Load] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)


@dataclass
class _Held:
    """Who occupies [start, end) of an on-chip memory, and the last index that needs it."""

    start: int
    end: int
    last: int = -1


class _Ring:
    """Allocates an on-chip memory round and round; a new tenant waits for those it overwrites."""

    def __init__(self, what: str, start: int, size: int) -> None:
        self.what, self.start, self.size = what, start, size
        self.head = start
        self.held: list[_Held] = []

    def take(self, size: int) -> tuple[_Held, int]:
        """(place, last index that needs what was there or -1)."""
        if size > self.size:
            raise Unsupported(f"a tiling needs {size} bytes of {self.what}, there are {self.size}")
        if self.head + size > self.start + self.size:
            self.head = self.start
        place = _Held(self.head, self.head + size)
        self.head = place.end
        gone = [h for h in self.held if h.start < place.end and place.start < h.end]
        self.held = [h for h in self.held if h not in gone] + [place]
        return place, max((h.last for h in gone), default=-1)


def layout_of(config: AcceleratorConfig, problem: GemmProblem) -> Layout:
    """Where constants, A and the result lie in the arena."""
    k_tiles, n_tiles = problem.tiles(config)
    a_pitch = round_up(problem.k, GRANULE_BYTES)
    out_pitch = round_up(problem.n * problem.result_type.bytes, GRANULE_BYTES)
    sizes = {
        "weights": k_tiles * n_tiles * config.tile_bytes,
        "parameters": n_tiles * config.cols * 8,
        "table": 256,
        "a": problem.m * a_pitch,
        "out": problem.m * out_pitch,
    }
    offsets, at = {}, 0
    for name, size in sizes.items():
        offsets[name] = at
        at = round_up(at + size, REGION_ALIGN)
    return Layout(**offsets, a_pitch=a_pitch, out_pitch=out_pitch, end=at)


class _Builder:
    def __init__(self, config: AcceleratorConfig, problem: GemmProblem, tiling: Tiling) -> None:
        self.config, self.problem, self.tiling = config, problem, tiling
        self.k_tiles, self.n_tiles = problem.tiles(config)
        self.column_bytes = config.cols * problem.result_type.bytes
        #: Tiles along K that one granule of DRAM spans: loads begin at multiples of this.
        self.k_grain = max(1, GRANULE_BYTES // config.rows)
        align = max(GRANULE_BYTES, 4 * result_align_words(problem.result_type, config))
        widest = max(b - a for a, b in self.gathers())
        self.plan = Plan(
            config,
            problem,
            tiling,
            layout_of(config, problem),
            round_up(widest * self.column_bytes, align),
        )
        bank = config.scratchpad_bank_bytes
        cut = (config.scratchpad_banks - tiling.result_banks) * bank
        self.act_ring = _Ring("scratchpad for activations", 0, cut)
        self.out_ring = _Ring("scratchpad for results", cut, tiling.result_banks * bank)
        self.weight_ring = _Ring("weight buffer", 0, config.weight_buffer_bytes)
        self.weights: dict[tuple[int, ...], tuple[_Held, int]] = {}
        self.acts: dict[tuple[int, ...], tuple[_Held, int]] = {}
        self.slots: dict[int, tuple[int, int, int]] = {}

    # -- how N and K are cut ----------------------------------------------------------------------

    def parameter_span(self) -> int:
        """Tiles along N that one region of the parameter memory holds."""
        room = self.config.parameter_entries // self.config.cols
        return self.n_tiles if self.n_tiles <= room else room // 2

    def gathers(self) -> list[tuple[int, int]]:
        """Groups of tile columns that are stored together; none crosses a parameter region."""
        t, found = self.tiling, []
        step = max(1, GRANULE_BYTES // self.column_bytes)
        for start in range(0, self.n_tiles, span := self.parameter_span()):
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
            yield from (p for p in self.balanced_passes() if g0 <= p.n0 < g1)
            return
        starting = block == 0 and g0 == 0
        if t.weights_resident and not starting and not final:
            yield Pass(g0, g1, 0, kt, g0)
            return
        by_k = (starting and t.first_k < kt) or final or not t.activations_resident
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

    def balanced_passes(self) -> list[Pass]:
        """Chunks, found from the end, no longer than what compute may lag behind the loads.

        Compute ends the time of one chunk after the loads. With each chunk it catches up by what the
        bus spends on instructions and parameters, so chunks may grow towards the front.
        """
        kt, limit = self.k_tiles, self.tiling.chunk_tiles
        cycles = self.config.tile_words * self.config.dma_bytes
        instructions = 2 * INSTRUCTION_BYTES / cycles
        parameters = self.config.cols * 8 / cycles
        starts = [g0 for g0, _ in self.gathers()]
        found: list[Pass] = []
        lag, n = float(self.tiling.final_chunk), self.n_tiles
        while n > 0:
            most = min(int(lag), limit)
            columns = max(1, min(most // kt, n - max(s for s in starts if s < n)))
            parts = even_parts(0, kt, most) if columns == 1 else [(0, kt)]
            found += [Pass(n - columns, n, k0, k1, n - columns) for k0, k1 in parts[::-1]]
            lag += instructions * len(parts) + columns * parameters
            n -= columns
        return found[::-1]

    # -- what a step needs ------------------------------------------------------------------------

    def load(self, *fields: int, after: int) -> int:
        """Append a load; rows that follow each other in both memories become one row."""
        space, dram, dram_pitch, rows, size, chip, chip_pitch = fields
        if rows == 1 or (dram_pitch == size and chip_pitch == size):
            rows, size, dram_pitch, chip_pitch = 1, rows * size, 0, 0
        self.plan.loads.append(
            Load(Space(space), dram, dram_pitch, rows, size, chip, chip_pitch, after)
        )
        return len(self.plan.loads) - 1

    def need_parameters(self, n0: int, n1: int, step: int) -> tuple[int, int]:
        """(first pair, load index) of the parameters of tiles [n0, n1)."""
        span, entry = self.parameter_span(), self.config.cols * 8
        region = n0 // span
        slot = region % 2
        have, loaded, last = self.slots.get(slot, (-1, 0, -1))
        if have != region:
            loaded = region * span
        else:
            last_load = self.parameter_load[slot]
        if have != region or loaded < n1:
            stop = min((region + 1) * span, self.n_tiles)
            until = n1 if not self.plan.steps else min(max(n1, loaded + PARAMETER_TILES), stop)
            last_load = self.load(
                Space.PARAMETERS,
                self.plan.layout.parameters + loaded * entry,
                0,
                1,
                (until - loaded) * entry,
                (slot * span + loaded - region * span) * entry,
                0,
                after=last if have != region else -1,
            )
            self.parameter_load[slot] = last_load
            loaded = until
        self.slots[slot] = (region, loaded, step)
        return (slot * span + n0 - region * span) * self.config.cols // 2, last_load

    parameter_load: dict[int, int]

    def need_weights(self, block: int, p: Pass, step: int) -> tuple[int, int, int]:
        """(address, stride along N, load index) in words of the weights of a pass."""
        h, size, kt = self.config.tile_words, self.config.tile_bytes, self.k_tiles
        nt, kc = p.n1 - p.n0, p.k1 - p.k0
        dram = self.plan.layout.weights + (p.n0 * kt + p.k0) * size
        if self.tiling.weights_resident:
            key, start, pitch = (p.n0, p.n1, p.k0, p.k1), (p.n0 * kt + p.k0) * size, kt * size
            known = self.weights.get(key)
            if known is None:
                load = -1
                if block == 0:
                    load = self.load(
                        Space.WEIGHTS, dram, kt * size, nt, kc * size, start, pitch, after=-1
                    )
                known = self.weights[key] = (_Held(start, start), load)
            return start // self.config.weight_word_bytes, kt * h, known[1]
        key = (block, p.n0, p.n1, p.k0, p.k1)
        if key not in self.weights:
            place, after = self.weight_ring.take(nt * kc * size)
            load = self.load(
                Space.WEIGHTS, dram, kt * size, nt, kc * size, place.start, kc * size, after=after
            )
            self.weights[key] = (place, load)
        place, load = self.weights[key]
        place.last = step
        return place.start // self.config.weight_word_bytes, kc * h, load

    def need_activations(
        self, block: int, m0: int, rows: int, p: Pass, step: int
    ) -> tuple[int, int, int]:
        """(address, pitch, load index) in bytes of the activations of a pass."""
        layout, r = self.plan.layout, self.config.rows
        k0, k1 = p.k0, p.k1
        resident = self.tiling.activations_resident
        key = (block,) if resident else (block, p.acc_n, k0, k1)
        pitch = round_up(self.k_tiles if resident else k1 - k0, self.k_grain) * r
        if key not in self.acts:
            place, after = self.act_ring.take(rows * pitch)
            self.acts[key] = (place, -1)
            self.act_after, self.act_done = after, k0
        place, load = self.acts[key]
        place.last = step
        if self.act_done < k1:
            start = self.act_done
            stop = round_up(self.k_tiles if resident and block else k1, self.k_grain)
            load = self.load(
                Space.SCRATCHPAD,
                layout.a + m0 * layout.a_pitch + start * r,
                layout.a_pitch,
                rows,
                min(stop * r, layout.a_pitch) - start * r,
                place.start + (start - (0 if resident else k0)) * r,
                pitch,
                after=self.act_after,
            )
            self.acts[key] = (place, load)
            self.act_done = stop
        return place.start + (k0 * r if resident else 0), pitch, load

    act_after: int
    act_done: int

    # -- the three lists --------------------------------------------------------------------------

    def build(self) -> Plan:
        t, m = self.tiling, self.problem.m
        self.parameter_load = {}
        blocks = [(m0, min(m0 + t.block_rows, m)) for m0 in range(0, m, t.block_rows)]
        gathers = self.gathers()
        if self.problem.table:
            self.load(Space.TABLES, self.plan.layout.table, 0, 1, 256, 0, 0, after=-1)
        for block, (m0, m1) in enumerate(blocks):
            for gather in gathers:
                ending = block == len(blocks) - 1 and gather == gathers[-1]
                self.group(block, m0, m1, gather, ending and 0 < t.last_rows < m1 - m0)
        return self.plan

    def group(self, block: int, m0: int, m1: int, gather: tuple[int, int], final: bool) -> None:
        """Steps and stores of one block of M and one gather group."""
        rows, pitch = m1 - m0, self.plan.result_pitch
        place, after_store = self.out_ring.take(rows * pitch)
        passes = list(self.passes(block, gather, final))
        whole = [p for p in passes if not (final and p.k1 == self.k_tiles)]
        for p in whole:
            self.step(block, m0, rows, 0, rows, p, place.start, gather[0], after_store)
        ends = [p for p in passes if p not in whole]
        if not ends:
            self.store(m0, 0, rows, gather, place)
        else:
            for first in range(0, rows, self.tiling.last_rows):
                stop = min(first + self.tiling.last_rows, rows)
                for p in ends:
                    self.step(block, m0, rows, first, stop, p, place.start, gather[0], after_store)
                self.store(m0, first, stop, gather, place)

    def step(
        self,
        block: int,
        m0: int,
        rows: int,
        first: int,
        stop: int,
        p: Pass,
        result: int,
        gather: int,
        after_store: int,
    ) -> None:
        index = len(self.plan.steps)
        weight, weight_n, load_w = self.need_weights(block, p, index)
        act, act_pitch, load_a = self.need_activations(block, m0, rows, p, index)
        parameter, load_p = self.need_parameters(p.n0, p.n1, index)
        whole = p.k0 == 0 and p.k1 == self.k_tiles
        fits = (p.n1 - p.acc_n) * rows <= self.config.accumulator_rows
        self.plan.steps.append(
            Step(
                rows=stop - first,
                k_tiles=p.k1 - p.k0,
                n_tiles=p.n1 - p.n0,
                first=p.k0 == 0,
                last=p.k1 == self.k_tiles,
                act=act + first * act_pitch,
                act_pitch=act_pitch,
                weight=weight,
                weight_n=weight_n,
                acc=0 if whole else (p.n0 - p.acc_n) * rows + first,
                acc_n=rows if fits or not whole else 0,
                result=result
                + first * self.plan.result_pitch
                + (p.n0 - gather) * self.column_bytes,
                parameter=parameter,
                after_load=max(load_w, load_a, load_p, 0 if self.problem.table else -1),
                after_store=after_store,
            )
        )

    def store(self, m0: int, first: int, stop: int, gather: tuple[int, int], place: _Held) -> None:
        layout, pitch, rows = self.plan.layout, self.plan.result_pitch, stop - first
        left = gather[0] * self.column_bytes
        size = min(gather[1] * self.column_bytes, layout.out_pitch) - left
        size = round_up(size, GRANULE_BYTES)
        dram_pitch, chip_pitch = layout.out_pitch, pitch
        if rows == 1 or (dram_pitch == size and chip_pitch == size):
            rows, size, dram_pitch, chip_pitch = 1, rows * size, 0, 0
        place.last = len(self.plan.stores)
        self.plan.stores.append(
            Store(
                layout.out + (m0 + first) * layout.out_pitch + left,
                dram_pitch,
                rows,
                size,
                place.start + first * pitch,
                chip_pitch,
                len(self.plan.steps) - 1,
            )
        )


def build_plan(config: AcceleratorConfig, problem: GemmProblem, tiling: Tiling) -> Plan:
    """Loads, steps and stores of `problem` under `tiling`.

    Raises
    ------
    Unsupported
        The tiling does not fit the memories of `config`.
    """
    if tiling.block_rows > config.accumulator_rows:
        raise Unsupported(
            f"a block of {tiling.block_rows} rows needs as many accumulator rows, "
            f"there are {config.accumulator_rows}"
        )
    return _Builder(config, problem, tiling).build()
