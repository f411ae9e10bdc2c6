"""Tilings of a window and the product behind it, fused, that are worth considering."""

from __future__ import annotations

from collections.abc import Iterator

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig

from .depthwise import groups_of
from .plan import SEGMENT_BYTES, FusedTiling, result_pitch, round_up
from .walk import walk_of
from .windows import MapLines

__all__ = ["candidates"]


def candidates(
    config: AcceleratorConfig, window: WindowProblem, product: GemmProblem
) -> Iterator[FusedTiling]:
    """Tilings that should fit the memories of `config`; none where the two cannot be fused."""
    walk = walk_of(config, window)
    if walk is None or not MapLines(window, 0, 1).is_clean:
        return
    every = groups_of(config, window)
    room = config.tap_words // walk.block_words(config)
    groups = every if every <= room else max(1, room // 2)
    kt, nt = product.tiles(config)
    weight_tiles = config.weight_buffer_bytes // config.tile_bytes
    resident = kt * nt <= weight_tiles
    column = config.cols * product.result_type.bytes
    grain = max(1, GRANULE_BYTES // column)
    gathers = {
        min(nt, round_up(-(-SEGMENT_BYTES * f // column), grain)) for f in (1, 2, 4)
    } | {nt, min(nt, round_up(-(-nt // 2), grain))}
    high, wide = window.out
    bank, banks = config.scratchpad_bank_bytes, config.scratchpad_banks
    middle_pitch = result_pitch(config, window.result_type, every, config.line_bytes)
    most = config.accumulator_rows // wide
    parts = (1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 16, 20, 28)
    for lines in sorted({min(most, -(-high // part)) for part in parts} | {1}, reverse=True):
        if lines < 1:
            continue
        whole = lines >= high
        map_bytes = round_up(MapLines(window, 0, lines, walk.ahead).bytes + config.rows, 64)
        middle = lines * wide * middle_pitch
        for gather in sorted(gathers, reverse=True):
            result = lines * wide * result_pitch(config, product.result_type, gather)
            seen = set()
            for copies in ((1,) if whole else (3, 2)):
                for result_copies in (3, 2, 1):
                    middle_banks = -(-copies * middle // bank)
                    result_banks = -(-result_copies * result // bank)
                    left = (banks - middle_banks - result_banks) * bank
                    if left < (map_bytes if whole else 2 * map_bytes):
                        continue
                    if (middle_banks, result_banks) in seen:
                        continue
                    seen.add((middle_banks, result_banks))
                    for chunk in {weight_tiles} if resident else {
                        weight_tiles // 4, weight_tiles // 2
                    }:  # fmt: skip
                        yield FusedTiling(
                            lines=lines,
                            groups=groups,
                            gather=gather,
                            middle_banks=middle_banks,
                            result_banks=result_banks,
                            chunk_tiles=max(1, chunk),
                            weights_resident=resident,
                        )
