"""From a matrix multiplication and its tiling to loads, steps and stores."""

from __future__ import annotations

from collections.abc import Iterable

from weft.compiler.graph.matmul import GemmProblem
from weft_hw.config import PARAMETER_BYTES
from weft_hw.isa import Space

from .chip import Chip, Held
from .cut import Cut, Pass
from .nest import Loop, Nest
from .placer import Placer
from .plan import Plan, Step, Written, round_up, stores_of
from .tiling import Tiling

__all__ = ["MatmulPlacer"]

#: Tiles along N whose parameters one load brings, so that the first product starts early.
PARAMETER_TILES = 12


class MatmulPlacer(Placer):
    """Adds one matrix multiplication to a plan."""

    def __init__(self, plan: Plan, index: int, chip: Chip, written: Written) -> None:
        layer, config = plan.layers[index], plan.config
        problem = layer.problem
        assert isinstance(problem, GemmProblem)
        tiling = self.tiling_of(plan, index)
        self.problem, self.tiling = problem, tiling
        self.cut = Cut(config, problem, tiling)
        super().__init__(plan, index, chip, written, max(b - a for a, b in self.cut.gathers))
        #: Place and load of what is on chip, by its extent; what the ring gave for all weights
        #: where they are resident.
        self.weights: dict[tuple[int, ...], tuple[Held, int]] = {}
        self.all_weights: tuple[Held, int, int] | None = None
        self.acts: dict[tuple[int, ...], tuple[Held, int]] = {}
        #: Tiles along K of the newest activations that are loaded, and what those overwrite.
        self.act_done, self.act_after = 0, (-1, -1)
        # Parameters: the whole memory in two halves, or as much of it as the layer has.
        entry = config.cols * PARAMETER_BYTES
        room = config.parameter_entries // config.cols
        self.parameter_place, self.parameter_after, _ = chip.parameters.take(
            min(self.cut.n_tiles, room) * entry
        )
        #: Per half: region, tiles loaded, last step; and its last load.
        self.slots: dict[int, tuple[int, int, int]] = {}
        self.parameter_load: dict[int, int] = {}
        self.residual_load = -1

    def tiling_of(self, plan: Plan, index: int) -> Tiling:
        """How the layer is cut."""
        tiling = plan.layers[index].tiling
        assert isinstance(tiling, Tiling)
        return tiling

    # -- what a step needs ------------------------------------------------------------------------

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
            chip = (slot * span + loaded - region * span) * entry
            last_load = self.load(
                Space.PARAMETERS,
                dram=self.layout.parameters + loaded * entry,
                dram_pitch=entry,
                rows=until - loaded,
                bytes=entry,
                chip=self.parameter_place.start + chip,
                chip_pitch=entry,
                after_step=max(last, self.parameter_after) if have != region else -1,
            )
            self.parameter_load[slot] = last_load
            loaded = until
        self.slots[slot] = (region, loaded, step)
        self.parameter_place.step = step
        first = self.parameter_place.start // PARAMETER_BYTES
        return (first + (slot * span + n0 - region * span) * self.config.cols) // 2, last_load

    def need_weights(self, block: int, p: Pass, step: int) -> tuple[int, int, int]:
        """(address, stride along N, load index) in words of the weights of a pass."""
        h, size, kt = self.config.tile_words, self.config.tile_bytes, self.cut.k_tiles
        nt, kc, first = p.n1 - p.n0, p.k1 - p.k0, (p.n0 * kt + p.k0) * size
        resident = self.tiling.weights_resident
        key = (0 if resident else block, p.n0, p.n1, p.k0, p.k1)
        known = self.weights.get(key)
        if resident:
            if self.all_weights is None:
                self.all_weights = self.chip.weights.take(self.cut.n_tiles * kt * size)
            place, after, _ = self.all_weights
            start, pitch = place.start + first, kt * size
        else:
            if known is None:
                place, after, _ = self.chip.weights.take(nt * kc * size)
            else:
                place = known[0]
            start, pitch = place.start, kc * size
        place.step = step
        if known is None and not (resident and block):
            load = self.load(
                Space.WEIGHTS,
                dram=self.layout.weights + first,
                dram_pitch=kt * size,
                rows=nt,
                bytes=kc * size,
                chip=start,
                chip_pitch=pitch,
                after_step=after,
            )
            known = self.weights[key] = (place, load)
        load = -1 if known is None else known[1]
        return start // self.config.weight_word_bytes, pitch // size * h, load

    def need_activations(
        self, block: int, m0: int, rows: int, p: Pass, step: int
    ) -> tuple[int, int, int]:
        """(address, pitch, load index) in bytes of the activations of a pass."""
        layout, r = self.layout, self.config.rows
        k0, k1 = p.k0, p.k1
        resident = self.tiling.activations_resident
        key = (block,) if resident else (block, p.acc_n, k0, k1)
        pitch = round_up(self.cut.k_tiles if resident else k1 - k0, self.cut.k_grain) * r
        if key not in self.acts:
            place, *after = self.act_ring.take(rows * pitch)
            self.acts[key] = (place, -1)
            self.act_after, self.act_done = (after[0], after[1]), k0
        place, load = self.acts[key]
        place.step = step
        if self.act_done < k1:
            start = self.act_done
            stop = round_up(self.cut.k_tiles if resident and block else k1, self.cut.k_grain)
            begin = layout.a + m0 * layout.a_pitch
            stored = stores_of(self.written, layout.source, begin, begin + rows * layout.a_pitch)
            load = self.load(
                Space.SCRATCHPAD,
                dram=begin + start * r,
                dram_pitch=layout.a_pitch,
                rows=rows,
                bytes=min(stop * r, layout.a_pitch) - start * r,
                chip=place.start + (start - (0 if resident else k0)) * r,
                chip_pitch=pitch,
                after_step=self.act_after[0],
                after_store=max(self.act_after[1], stored),
            )
            self.acts[key] = (place, load)
            self.act_done = stop
        return place.start + (k0 * r if resident else 0), pitch, load

    def passes(self, block: int, gather: tuple[int, int], final: bool) -> Iterable[Pass]:
        """How the tiles of a gather group are cut into steps."""
        return self.cut.passes(block, gather, final)

    # -- the three lists --------------------------------------------------------------------------

    def build(self) -> None:
        """Append everything."""
        t, m = self.tiling, self.problem.m
        blocks = [(m0, min(m0 + t.block_rows, m)) for m0 in range(0, m, t.block_rows)]
        gathers = self.cut.gathers
        self.load_table()
        for block, (m0, m1) in enumerate(blocks):
            for gather in gathers:
                ending = block == len(blocks) - 1 and gather == gathers[-1]
                self.group(block, m0, m1, gather, ending and 0 < t.last_rows < m1 - m0)

    def group(self, block: int, m0: int, m1: int, gather: tuple[int, int], final: bool) -> None:
        """Steps and stores of one block of M and one gather group."""
        rows, pitch = m1 - m0, self.pitch
        place, *after = self.out_ring.take(rows * pitch)
        after_store = after[1]
        if self.problem.residual:
            self.residual_load = self.load_residual(m0, m1, gather, place, (after[0], after[1]))
        passes = list(self.passes(block, gather, final))
        # Only the last accumulators are still there when the rows are split.
        last = (self.cut.k_tiles, passes[-1].acc_n)
        ends = [p for p in passes if final and (p.k1, p.acc_n) == last]
        for p in passes[: len(passes) - len(ends)]:
            self.step(block, m0, rows, 0, rows, p, place.start, gather[0], after_store)
        if not ends:
            self.store(m0, m1, gather, place, place.start)
        else:
            for first in range(0, rows, self.tiling.last_rows):
                stop = min(first + self.tiling.last_rows, rows)
                for p in ends:
                    self.step(block, m0, rows, first, stop, p, place.start, gather[0], after_store)
                self.store(m0 + first, m0 + stop, gather, place, place.start + first * pitch)

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
        self.use_table(index)
        whole = p.k0 == 0 and p.k1 == self.cut.k_tiles
        fits = (p.n1 - p.acc_n) * rows <= self.config.accumulator_rows
        nest = Nest(
            (
                Loop(stop - first, act=act_pitch // 4, acc=1, result=self.pitch // 4),
                Loop(
                    p.k1 - p.k0,
                    act=self.config.line_bytes // 4,
                    weight=self.config.tile_words,
                    reduces=True,
                ),
                Loop(
                    p.n1 - p.n0,
                    weight=weight_n,
                    acc=rows if fits or not whole else 0,
                    result=self.column // 4,
                    parameter=self.config.cols // 2,
                ),
            ),
            tile_levels=1,
        )
        self.plan.steps.append(
            Step(
                layer=self.index,
                nest=nest,
                first=p.k0 == 0,
                last=p.k1 == self.cut.k_tiles,
                act=act + first * act_pitch,
                weight=weight,
                acc=0 if whole else (p.n0 - p.acc_n) * rows + first,
                result=result + first * self.pitch + (p.n0 - gather) * self.column,
                parameter=parameter,
                table=self.table,
                after_load=max(load_w, load_a, load_p, self.table_load, self.residual_load),
                after_store=max(after_store, self.turn),
            )
        )
