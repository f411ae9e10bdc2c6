"""From a tiling to a plan: addresses, sizes and who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass

from weft.compiler.graph.matmul import GemmProblem
from weft.errors import Unsupported
from weft_hw.config import GRANULE_BYTES, PARAMETER_BYTES, AcceleratorConfig
from weft_hw.isa import Space, result_align_words

from .cut import Cut, Pass
from .plan import Load, Plan, Step, Store, Tiling, round_up

__all__ = ["build_plan"]

#: Tiles along N whose parameters one load brings, so that the first product starts early.
PARAMETER_TILES = 12


@dataclass
class Held:
    """Who occupies [start, end) of an on-chip memory, and the last index that needs it."""

    start: int
    end: int
    last: int = -1


class Ring:
    """Allocates an on-chip memory round and round; a new tenant waits for those it overwrites."""

    def __init__(self, what: str, start: int, size: int) -> None:
        self.what, self.start, self.size = what, start, size
        self.head = start
        self.held: list[Held] = []

    def take(self, size: int) -> tuple[Held, int]:
        """(place, last index that needs what was there or -1)."""
        if size > self.size:
            raise Unsupported(f"a tiling needs {size} bytes of {self.what}, there are {self.size}")
        if self.head + size > self.start + self.size:
            self.head = self.start
        place = Held(self.head, self.head + size)
        self.head = place.end
        gone = [h for h in self.held if h.start < place.end and place.start < h.end]
        self.held = [h for h in self.held if h not in gone] + [place]
        return place, max((h.last for h in gone), default=-1)


class _Builder:
    def __init__(self, config: AcceleratorConfig, problem: GemmProblem, tiling: Tiling) -> None:
        self.config, self.problem, self.tiling = config, problem, tiling
        self.cut = Cut(config, problem, tiling)
        align = max(GRANULE_BYTES, 4 * result_align_words(problem.result_type, config))
        widest = max(b - a for a, b in self.cut.gathers)
        pitch = round_up(widest * self.cut.column_bytes, align)
        self.plan = Plan(config, problem, tiling, self.cut.layout, pitch)
        bank = config.scratchpad_bank_bytes
        limit = (config.scratchpad_banks - tiling.result_banks) * bank
        self.act_ring = Ring("scratchpad for activations", 0, limit)
        self.out_ring = Ring("scratchpad for results", limit, tiling.result_banks * bank)
        self.weight_ring = Ring("weight buffer", 0, config.weight_buffer_bytes)
        #: Place and load of what is on chip, by its extent.
        self.weights: dict[tuple[int, ...], tuple[Held, int]] = {}
        self.acts: dict[tuple[int, ...], tuple[Held, int]] = {}
        #: Tiles along K of the newest activations that are loaded, and what those overwrite.
        self.act_done, self.act_after = 0, -1
        #: Per half of the parameter memory: region, tiles loaded, last step; and its last load.
        self.slots: dict[int, tuple[int, int, int]] = {}
        self.parameter_load: dict[int, int] = {}

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
        span, entry = self.cut.parameter_span, self.config.cols * PARAMETER_BYTES
        region = n0 // span
        slot = region % 2
        have, loaded, last = self.slots.get(slot, (-1, 0, -1))
        if have != region:
            loaded = region * span
        else:
            last_load = self.parameter_load[slot]
        if have != region or loaded < n1:
            stop = min((region + 1) * span, self.cut.n_tiles)
            until = min(max(n1, loaded + PARAMETER_TILES), stop) if self.plan.steps else n1
            last_load = self.load(
                Space.PARAMETERS,
                self.plan.layout.parameters + loaded * entry,
                entry,
                until - loaded,
                entry,
                (slot * span + loaded - region * span) * entry,
                entry,
                after=last if have != region else -1,
            )
            self.parameter_load[slot] = last_load
            loaded = until
        self.slots[slot] = (region, loaded, step)
        return (slot * span + n0 - region * span) * self.config.cols // 2, last_load

    def need_weights(self, block: int, p: Pass, step: int) -> tuple[int, int, int]:
        """(address, stride along N, load index) in words of the weights of a pass."""
        h, size, kt = self.config.tile_words, self.config.tile_bytes, self.cut.k_tiles
        key: tuple[int, ...]
        nt, kc = p.n1 - p.n0, p.k1 - p.k0
        dram = self.plan.layout.weights + (p.n0 * kt + p.k0) * size
        if self.tiling.weights_resident:
            start, load = (p.n0 * kt + p.k0) * size, -1
            key = (p.n0, p.n1, p.k0, p.k1)
            if block == 0 and key not in self.weights:
                load = self.load(
                    Space.WEIGHTS, dram, kt * size, nt, kc * size, start, kt * size, after=-1
                )
                self.weights[key] = (Held(start, start + nt * kt * size), load)
            return start // self.config.weight_word_bytes, kt * h, load
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
        pitch = round_up(self.cut.k_tiles if resident else k1 - k0, self.cut.k_grain) * r
        if key not in self.acts:
            place, after = self.act_ring.take(rows * pitch)
            self.acts[key] = (place, -1)
            self.act_after, self.act_done = after, k0
        place, load = self.acts[key]
        place.last = step
        if self.act_done < k1:
            start = self.act_done
            stop = round_up(self.cut.k_tiles if resident and block else k1, self.cut.k_grain)
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

    # -- the three lists --------------------------------------------------------------------------

    def build(self) -> Plan:
        t, m = self.tiling, self.problem.m
        blocks = [(m0, min(m0 + t.block_rows, m)) for m0 in range(0, m, t.block_rows)]
        gathers = self.cut.gathers
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
        passes = list(self.cut.passes(block, gather, final))
        # Only the last accumulators are still there when the rows are split.
        last = (self.cut.k_tiles, passes[-1].acc_n)
        ends = [p for p in passes if final and (p.k1, p.acc_n) == last]
        for p in passes[: len(passes) - len(ends)]:
            self.step(block, m0, rows, 0, rows, p, place.start, gather[0], after_store)
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
        whole = p.k0 == 0 and p.k1 == self.cut.k_tiles
        fits = (p.n1 - p.acc_n) * rows <= self.config.accumulator_rows
        self.plan.steps.append(
            Step(
                rows=stop - first,
                k_tiles=p.k1 - p.k0,
                n_tiles=p.n1 - p.n0,
                first=p.k0 == 0,
                last=p.k1 == self.cut.k_tiles,
                act=act + first * act_pitch,
                act_pitch=act_pitch,
                weight=weight,
                weight_n=weight_n,
                acc=0 if whole else (p.n0 - p.acc_n) * rows + first,
                acc_n=rows if fits or not whole else 0,
                result=result
                + first * self.plan.result_pitch
                + (p.n0 - gather) * self.cut.column_bytes,
                parameter=parameter,
                after_load=max(load_w, load_a, load_p, 0 if self.problem.table else -1),
                after_store=after_store,
            )
        )

    def store(self, m0: int, first: int, stop: int, gather: tuple[int, int], place: Held) -> None:
        layout, pitch, rows = self.plan.layout, self.plan.result_pitch, stop - first
        left = gather[0] * self.cut.column_bytes
        size = min(gather[1] * self.cut.column_bytes, layout.out_pitch) - left
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
