"""The front of the compute unit: an instruction hold, two loop nests and a check of addresses."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import AcceleratorConfig
from ..interface import INDEX_BITS, POST_BITS, ErrorPort, StartLayout
from ..isa import ErrorCode, ResultType
from ..memory.parameters import PAIR_BYTES
from .hold import InstructionHold
from .lane import ModeLayout
from .row_nest import RowLayout, RowNest
from .weight_nest import WeightNest

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Turns MATMUL and SETUP into rows, weight words and copies, one decision per cycle.

    Two loop nests follow each MATMUL: the weight nest fetches tiles, one ahead of the row nest, and
    runs on into the next instruction, of which one is held ready; the row nest issues rows. They
    meet where a tile is in A1 and where it begins. All decisions are taken here with equal delays
    behind, so the rules of ``array.Array`` hold there.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    start : In(stream.Signature(StartLayout))
        MATMUL and SETUP; a SETUP waits until `idle`.
    idle : In(1)
        No MATMUL is in flight.
    row : Out(RowLayout)
    weight_en : Out(1), weight_address : Out
        Read a weight word; its data shift into the array.
    copy : Out(1)
    mode : Out(ModeLayout), result_type : Out(2)
        The SETUP in force.
    accepted : Out(1)
        A MATMUL was taken from `start` (pulse).
    setup_done : Out(1), setup_posts : Out(POST_BITS)
        A SETUP was taken (pulse), with its posts; it is in force from the next cycle on.
    posts : Out(POST_BITS)
        Posts of the instruction that `row.final` ends, in the same cycle.
    wait : Out(1)
        A row waited for its tile, for its parameters, for result pacing, or for a residual.
    error : Out(ErrorPort())
        ADDRESS, a few cycles after the offending access.

    Latency
    -------
    3 cycles from `start` to the first weight word, R/L + 1 more to the first row of a tile whose
    weights were not fetched ahead. Tiles follow each other every max(M, R/L) cycles.
    """

    #: `start` to the first weight word; last word of a tile to its first row.
    WEIGHT_LATENCY = 3
    ROW_LATENCY = 2

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(stream.Signature(StartLayout)),
                "idle": In(1),
                "row": Out(RowLayout(config)),
                "weight_en": Out(1),
                "weight_address": Out(range(config.weight_words)),
                "copy": Out(1),
                "mode": Out(ModeLayout),
                "result_type": Out(2),
                "accepted": Out(1),
                "setup_done": Out(1),
                "setup_posts": Out(POST_BITS),
                "posts": Out(POST_BITS),
                "wait": Out(1),
                "error": Out(ErrorPort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.config
        m.submodules.hold = hold = InstructionHold()
        m.submodules.weight_nest = weights = WeightNest(cfg)
        m.submodules.row_nest = rows = RowNest(cfg)
        wiring.connect(m, wiring.flipped(self.start), hold.start)
        m.d.comb += [
            hold.idle.eq(self.idle),
            self.accepted.eq(hold.accepted),
            self.setup_done.eq(hold.setup_done),
            self.setup_posts.eq(hold.setup_posts),
            self.mode.eq(hold.mode),
            self.result_type.eq(hold.result_type),
            weights.held.eq(hold.held),
            weights.tile_mask.eq(hold.tile_mask),
            weights.valid.eq(hold.for_weights),
            hold.weights_taken.eq(weights.taken),
            rows.held.eq(hold.held),
            rows.tile_mask.eq(hold.tile_mask),
            rows.valid.eq(hold.for_rows),
            hold.rows_taken.eq(rows.taken),
            rows.result_type.eq(hold.result_type),
            rows.result_jumps.eq(hold.result_jumps),
            rows.parameter_jumps.eq(hold.parameter_jumps),
            rows.residual.eq(hold.mode.residual),
            rows.tile_ready.eq(weights.tile_ready),
            weights.tile_start.eq(rows.tile_start),
            self.weight_en.eq(weights.weight_en),
            self.weight_address.eq(weights.weight_address),
            self.copy.eq(weights.copy),
            self.row.eq(rows.row),
            self.posts.eq(rows.posts),
            self.wait.eq(rows.wait),
        ]

        # Bounds: compared a cycle later, reported the next, so that nothing of it stands in the way
        # of an issue. A sum with a constant is compared by moving the constant to the bound.
        row, lines = rows.row, cfg.scratchpad_bytes // cfg.line_bytes
        last_line = Signal(range(lines + 1), reset_less=True)
        with m.Switch(hold.result_type):
            for t in ResultType:
                with m.Case(t):
                    m.d.sync += last_line.eq(lines - t.bytes * cfg.cols // cfg.rows)
        pairs = cfg.parameter_bytes // PAIR_BYTES
        acc_address = rows.acc_address
        outside, bad_weight = Signal(4), Signal()
        row_index, weight_index = (Signal(INDEX_BITS, reset_less=True) for _ in range(2))
        m.d.sync += [
            outside.eq(
                Cat(
                    row.valid & (row.act_word > cfg.scratchpad_words - cfg.line_bytes // 4),
                    row.valid & row.last & (row.result_line > last_line),
                    row.valid & ~(row.first & row.last) & (acc_address >= cfg.accumulator_rows),
                    row.parameters & (rows.parameter_address > pairs - cfg.cols // 2),
                )
            ),
            bad_weight.eq(weights.weight_en & (weights.weight_address >= cfg.weight_words)),
            row_index.eq(rows.index),
            weight_index.eq(weights.index),
            self.error.valid.eq(outside.any() | bad_weight),
            self.error.code.eq(ErrorCode.ADDRESS),
            self.error.index.eq(Mux(outside.any(), row_index, weight_index)),
        ]
        return m
