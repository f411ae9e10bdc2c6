"""What every operation brings to the chip, and takes away, in the same way."""

from __future__ import annotations

from weft_hw.config import GRANULE_BYTES
from weft_hw.isa import Space
from weft_hw.numerics import TABLE_SIZE

from .chip import Chip, Held, Ring
from .plan import Load, Plan, Store, Written, result_pitch, round_up, stores_of
from .tiling import DepthwiseTiling, FusedTiling

__all__ = ["Placer"]


class Placer:
    """Adds one layer to a plan.

    Parameters
    ----------
    plan : the plan; index : of the layer in it
    chip : who holds what on the chip
    written : what the plan stores so far
    columns : tiles along N, or groups of channels, whose results are gathered in one row
    column : bytes of one; those of a tile by default
    """

    def __init__(
        self, plan: Plan, index: int, chip: Chip, written: Written, columns: int, column: int = 0
    ) -> None:
        layer, config = plan.layers[index], plan.config
        self.plan, self.index, self.chip, self.written = plan, index, chip, written
        self.config, self.layout = config, layer.layout
        self.has_table = layer.problem.table
        #: Bytes of the results of one tile in one row, and from one row to the next on chip.
        result_type = layer.problem.result_type
        self.column = column or config.cols * result_type.bytes
        self.pitch = result_pitch(config, result_type, columns, column)
        bank, banks = config.scratchpad_bank_bytes, layer.tiling.result_banks
        limit = (config.scratchpad_banks - banks) * bank
        self.act_ring = Ring("scratchpad for activations", 0, limit, chip.scratchpad)
        self.out_ring = Ring("scratchpad for results", limit, banks * bank, chip.scratchpad)
        self.table, self.table_load = 0, -1
        #: The store that ends the layer before, where a unit of it may still read or write what
        #: this one overwrites: units take turns. The array works behind the engine of its pair.
        before = type(plan.layers[index - 1].tiling) if index else None
        on_engine = isinstance(layer.tiling, DepthwiseTiling | FusedTiling)
        others = before is not None and (before is DepthwiseTiling) != on_engine
        if before is FusedTiling:
            others = on_engine
        self.turn = len(plan.stores) - 1 if others else -1

    def load(self, space: Space, **fields: int) -> int:
        """Append a load of this layer; its index."""
        self.plan.loads.append(Load(layer=self.index, space=space, **fields))
        return len(self.plan.loads) - 1

    def load_table(self) -> None:
        """Bring the layer's table, where it has one, to the place that was used the longest ago."""
        if not self.has_table:
            return
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

    def use_table(self, step: int) -> None:
        """Step `step` looks into the layer's table, where it has one."""
        if self.has_table:
            self.chip.tables[self.table] = step

    def segment(self, gather: tuple[int, int]) -> tuple[int, int]:
        """(first byte, bytes) of the tiles [n0, n1) of a gather group in a row of results."""
        left = gather[0] * self.column
        size = min(gather[1] * self.column, self.layout.out_bytes) - left
        return left, round_up(size, GRANULE_BYTES)

    def load_residual(
        self, first: int, stop: int, gather: tuple[int, int], place: Held, after: tuple[int, int]
    ) -> int:
        """Bring what is added to rows [first, stop) of the result to where they will stand; its
        load. `after` are the last step and store that need the place."""
        layout = self.layout
        left, size = self.segment(gather)
        begin, end = (layout.residual + row * layout.residual_pitch for row in (first, stop))
        return self.load(
            Space.SCRATCHPAD,
            dram=begin + left,
            dram_pitch=layout.residual_pitch,
            rows=stop - first,
            bytes=size,
            chip=place.start,
            chip_pitch=self.pitch,
            after_step=after[0],
            after_store=max(after[1], stores_of(self.written, layout.added, begin, end)),
        )

    def store(
        self, first: int, stop: int, gather: tuple[int, int], place: Held, chip: int
    ) -> None:
        """Append the store of rows [first, stop) of the result, which the last step completes,
        from byte `chip` of the scratchpad, in `place`."""
        layout, index = self.layout, len(self.plan.stores)
        left, size = self.segment(gather)
        begin, end = (layout.out + row * layout.out_pitch for row in (first, stop))
        place.store = index
        self.written.setdefault(layout.target, []).append((begin, end, index))
        self.plan.stores.append(
            Store(
                layer=self.index,
                dram=begin + left,
                dram_pitch=layout.out_pitch,
                rows=stop - first,
                bytes=size,
                chip=chip,
                chip_pitch=self.pitch,
                after_step=len(self.plan.steps) - 1,
            )
        )
