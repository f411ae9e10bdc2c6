"""Tilings of neighbours that run at once which are worth considering."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product as every_one

from weft.compiler.graph.fused import Fused
from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.graph.windowed import WindowProblem
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig

from .depthwise import groups_of, most_groups
from .place_expand import bytes_given, bytes_held
from .plan import SEGMENT_BYTES, result_pitch, round_up
from .tiling import FusedTiling
from .walk import Walk, walk_of
from .windows import MapLines

__all__ = ["candidates"]

#: Into how many blocks a map is cut, and into how many instructions the channels of a block.
BLOCKS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 16, 20, 28)
PARTS = (2, 3, 4, 6, 9, 12, 20)


def candidates(config: AcceleratorConfig, problem: Fused) -> Iterator[FusedTiling]:
    """Tilings that should fit the memories of `config`; none where these cannot be fused."""
    window = problem.window
    walk = walk_of(config, window)
    if walk is None or not MapLines(window, 0, 1).is_clean:
        return
    if problem.expand is None:
        yield from _pairs(config, window, problem.product, walk)
    else:
        yield from _expanded(config, window, problem.product, problem.expand, walk)


def _gathers(config: AcceleratorConfig, product: GemmProblem) -> list[int]:
    """Columns of tiles whose results are stored at once: all, or whole segments."""
    nt = product.tiles(config)[1]
    column = config.cols * product.result_type.bytes
    grain = max(1, GRANULE_BYTES // column)
    wanted = {round_up(-(-SEGMENT_BYTES * f // column), grain) for f in (1, 2, 4)}
    half = round_up(-(-nt // 2), grain)
    wanted |= {nt, half if half * column >= SEGMENT_BYTES else nt}
    return sorted({min(nt, g) for g in wanted}, reverse=True)


def _sums_fit(config: AcceleratorConfig, product: GemmProblem, rows: int) -> bool:
    """Whether all sums of a block of the product have accumulators, and its parameters a place."""
    nt = product.tiles(config)[1]
    return rows * nt <= config.accumulator_rows and _parameters_fit(config, product)


def _parameters_fit(config: AcceleratorConfig, *products: GemmProblem) -> bool:
    entries = sum(product.tiles(config)[1] * config.cols for product in products)
    return entries <= config.parameter_entries


def _pairs(
    config: AcceleratorConfig, window: WindowProblem, product: GemmProblem, walk: Walk
) -> Iterator[FusedTiling]:
    """Of a map that is loaded."""
    every = groups_of(config, window)
    most = most_groups(config, every, walk)
    grain = max(1, GRANULE_BYTES // config.line_bytes)
    kt, nt = product.tiles(config)
    weight_tiles = config.weight_buffer_bytes // config.tile_bytes
    resident = kt * nt <= weight_tiles
    high, wide = window.out
    bank, banks = config.scratchpad_bank_bytes, config.scratchpad_banks
    middle_pitch = result_pitch(config, window.result_type, every, config.line_bytes)
    limit = config.accumulator_rows // wide
    for lines in sorted({min(limit, -(-high // part)) for part in BLOCKS} | {1}, reverse=True):
        if lines < 1:
            continue
        whole = lines >= high
        map_bytes = round_up(MapLines(window, 0, lines, walk.ahead).bytes + config.rows, 64)
        middle = lines * wide * middle_pitch
        orders = [(most, False)]
        if _sums_fit(config, product, lines * wide):
            orders += [
                (groups, True)
                for groups in {round_up(-(-every // part), grain) for part in PARTS}
                if groups <= most and nt * groups <= weight_tiles // 2
            ]
        for gather, (groups, k_outermost) in every_one(_gathers(config, product), orders):
            result = lines * wide * result_pitch(config, product.result_type, gather)
            seen = set()
            for copies, result_copies in every_one((1,) if whole else (3, 2), (3, 2, 1)):
                middle_banks = -(-copies * middle // bank)
                result_banks = -(-result_copies * result // bank)
                left = (banks - middle_banks - result_banks) * bank
                if left < (map_bytes if whole else 2 * map_bytes):
                    continue
                if (middle_banks, result_banks) in seen:
                    continue
                seen.add((middle_banks, result_banks))
                chunks = {weight_tiles // 4, weight_tiles // 2}
                if resident:
                    chunks = {weight_tiles}
                elif k_outermost:
                    chunks = {nt * groups}
                for chunk in chunks:
                    yield FusedTiling(
                        lines=lines,
                        groups=groups,
                        k_outermost=k_outermost,
                        gather=gather,
                        middle_banks=middle_banks,
                        result_banks=result_banks,
                        chunk_tiles=max(1, chunk),
                        weights_resident=resident,
                    )


def _expanded(
    config: AcceleratorConfig, window: WindowProblem, product: GemmProblem, expand: GemmProblem,
    walk: Walk,
) -> Iterator[FusedTiling]:  # fmt: skip
    """Of a map that the array makes."""
    every, rows = groups_of(config, window), config.rows
    (kx, nx), (_, nt) = expand.tiles(config), product.tiles(config)
    in_bytes = window.in_pixel == nx * config.cols == every * rows
    if not in_bytes or expand.m != window.height * window.width:
        return
    if not _parameters_fit(config, expand, product):
        return
    most = most_groups(config, every, walk)
    grain = max(1, GRANULE_BYTES // config.line_bytes, config.cols // rows)
    parts = {
        order: sorted({round_up(-(-every // part), grain) for part in into})
        for order, into in ((True, PARTS), (False, (1, 2, 4, 8, 20)))
    }
    weight_tiles = config.weight_buffer_bytes // config.tile_bytes
    resident = (kx + nt) * every <= weight_tiles
    high, wide = window.out
    bank, banks = config.scratchpad_bank_bytes, config.scratchpad_banks
    (down, _), (reach, _) = window.window.stride, window.window.reach
    needed = (high - 1) * down + reach
    pitch = MapLines(window, 0, 1).pitch
    around = bytes_held(window, walk, 0, rows) + 64
    for lines, k_outermost in every_one(
        sorted({-(-high // part) for part in BLOCKS} | {1, 2}, reverse=True), (True, False)
    ):
        seen_lines = (lines - 1) * down + reach
        pixels, made = lines * wide, min(seen_lines, window.height) * window.width
        sums = pixels * nt if k_outermost else 0
        if sums + made > config.accumulator_rows or pixels > config.accumulator_rows:
            continue
        given = bytes_given(config, window, expand, lines)
        for gather, groups in every_one(_gathers(config, product), parts[k_outermost]):
            if groups > most or (groups == every and k_outermost):
                continue
            if not resident and groups * (kx + nt) > weight_tiles // 2:
                continue
            of_each = groups if k_outermost else every
            middle = pixels * result_pitch(config, window.result_type, of_each, config.line_bytes)
            result = pixels * result_pitch(config, product.result_type, gather)
            copies = (3, 2) if k_outermost else (2,) if lines < high else (1,)
            for middle_banks in sorted({-(-(count * middle + given) // bank) for count in copies}):
                left = (banks - middle_banks) * bank - (2 if lines < high else 1) * result
                held = min(needed, (left - around) // pitch)
                if held < needed:  # as many as whole blocks see
                    held = seen_lines + (held - seen_lines) // (lines * down) * lines * down
                if held < seen_lines:
                    continue
                yield FusedTiling(
                    lines=lines,
                    groups=groups,
                    k_outermost=k_outermost,
                    gather=gather,
                    middle_banks=middle_banks,
                    result_banks=0,
                    chunk_tiles=max(1, weight_tiles if resident else nt * groups),
                    weights_resident=resident,
                    held_lines=held,
                )
