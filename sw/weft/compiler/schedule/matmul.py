"""Tilings of a matrix multiplication that are worth considering."""

from __future__ import annotations

from collections.abc import Iterator

from weft.compiler.graph.matmul import GemmProblem
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig

from .plan import SEGMENT_BYTES, result_pitch, round_up
from .tiling import Tiling

__all__ = ["candidates"]


def _block_rows(config: AcceleratorConfig, problem: GemmProblem) -> list[int]:
    """Rows of a block: even parts of M, and multiples of R / L."""
    top, h = min(problem.m, config.accumulator_rows), config.tile_words
    parts = {min(top, -(-problem.m // p)) for p in (1, 2, 3, 4, 6, 8)}
    powers = {min(top, h * f) for f in (1, 2, 4, 8, 16)}
    return sorted(parts | powers, reverse=True)


def candidates(config: AcceleratorConfig, problem: GemmProblem) -> Iterator[Tiling]:
    """Tilings that should fit the memories of `config`."""
    kt, nt = problem.tiles(config)
    h, column_bytes = config.tile_words, config.cols * problem.result_type.bytes
    grain = max(1, GRANULE_BYTES // column_bytes)
    weight_tiles = config.weight_buffer_bytes // config.tile_bytes
    resident = kt * nt <= weight_tiles
    # Columns of tiles that are stored together, at most those of one parameter region.
    room = config.parameter_entries // config.cols
    columns = nt if nt <= room else room // 2
    wanted = {-(-SEGMENT_BYTES * f // column_bytes) for f in (1, 2, 4)} | {columns}
    gathers = sorted({min(columns, round_up(max(1, g), grain)) for g in wanted})
    bank, banks = config.scratchpad_bank_bytes, config.scratchpad_banks
    balanced = problem.m < 2 * h and not resident
    chunk = max(1, weight_tiles * 9 // 32 if balanced else weight_tiles // 4)
    k_grain = max(1, GRANULE_BYTES // config.rows)
    first_k = max(1, 64 // config.rows)
    for rows in _block_rows(config, problem):
        whole = rows >= problem.m
        for gather in gathers:
            size = rows * result_pitch(config, problem.result_type, gather)
            out_banks = -(-size * (1 if whole and gather == nt else 2) // bank)
            act = (banks - out_banks) * bank
            if act <= 0:
                continue
            act_bytes = rows * round_up(kt, k_grain) * config.rows
            fits = act_bytes * (1 if whole else 2) <= act
            group = min(gather, config.accumulator_rows // rows, max(1, chunk // k_grain))
            streamed = min(kt, max(k_grain, chunk // max(1, group)))
            if not fits and 2 * rows * round_up(streamed, k_grain) * config.rows > act:
                continue
            last = min(gather, round_up(-(-SEGMENT_BYTES // column_bytes), grain))
            is_balanced = balanced and fits
            if is_balanced:  # a single short row: what counts is that it ends early
                last = min(gather, round_up(2, grain))
            splits = (0, 2 * h, 4 * h) if rows >= 4 * h and not is_balanced else (0,)
            for last_rows in splits:
                for final in (8, 16) if is_balanced else (0,):
                    yield Tiling(
                        block_rows=rows,
                        gather=gather,
                        last_gather=last,
                        result_banks=out_banks,
                        chunk_tiles=chunk,
                        activations_resident=fits,
                        weights_resident=resident,
                        first_k=first_k,
                        last_rows=last_rows,
                        final_chunk=final,
                    )
