"""Tilings of a window on the depthwise engine that are worth considering."""

from __future__ import annotations

from collections.abc import Iterator

from weft.compiler.graph.windowed import WindowProblem
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig
from weft_hw.isa import TAPS

from .plan import result_pitch, round_up
from .tiling import DepthwiseTiling
from .walk import Walk, walk_of
from .windows import MapLines

__all__ = ["candidates", "groups_of", "most_groups", "tap_bytes"]


def groups_of(config: AcceleratorConfig, problem: WindowProblem) -> int:
    """Groups of R channels."""
    return -(-problem.channels // config.rows)


def most_groups(config: AcceleratorConfig, every: int, walk: Walk) -> int:
    """Groups of one DEPTHWISE, of `every`: all where their taps fit, else as many as leave a place
    for those of the next, which come while one runs."""
    room = config.tap_words // walk.block_words(config)
    return every if every <= room else max(1, room // 2)


def tap_bytes(config: AcceleratorConfig, problem: WindowProblem, walk: Walk) -> int:
    """Bytes of the constants of a window on the engine, in the arena."""
    words = groups_of(config, problem) * walk.block_words(config)
    return TAPS * words * config.line_bytes


def candidates(config: AcceleratorConfig, problem: WindowProblem) -> Iterator[DepthwiseTiling]:
    """Tilings that should fit the memories of `config`; none where the engine cannot do it."""
    walk = walk_of(config, problem)
    if walk is None or not MapLines(problem, 0, 1).is_clean:
        return
    every = groups_of(config, problem)
    most = most_groups(config, every, walk)
    grain = max(1, GRANULE_BYTES // config.line_bytes)
    gathers = {min(most, round_up(-(-every // parts), grain)) for parts in (1, 2, 3, 4, 8)}
    high, wide = problem.out
    parts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    bank, banks = config.scratchpad_bank_bytes, config.scratchpad_banks
    for lines in sorted({-(-high // part) for part in parts} | {1, 2}, reverse=True):
        map_bytes = MapLines(problem, 0, lines, walk.ahead).bytes + config.rows
        for groups in sorted(gathers, reverse=True):
            pitch = result_pitch(config, problem.result_type, groups, config.line_bytes)
            size = lines * wide * pitch
            for copies in (2, 1):
                out = -(-copies * size // bank)
                if (banks - out) * bank >= round_up(map_bytes, 64):
                    yield DepthwiseTiling(lines=lines, groups=groups, result_banks=out)
                    break
