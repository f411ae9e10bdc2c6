"""Tilings of a window over a map that are worth considering."""

from __future__ import annotations

from collections.abc import Iterator

from weft.compiler.graph.windowed import Channels, WindowProblem
from weft.errors import Unsupported
from weft_hw.config import GRANULE_BYTES, AcceleratorConfig

from .plan import SEGMENT_BYTES, result_pitch, round_up
from .tiling import WindowTiling

__all__ = ["MapLines", "candidates"]

#: Blocks of results on chip where there is a residual: the next one's comes, one is used, and one
#: leaves, each in banks of its own, so that nothing waits for a bank.
BANKS = 3


class MapLines:
    """How lines of a map lie on chip, their borders between them.

    A line is followed by its right border, which is the left border of the next one; a left border
    stands in front of the first. All sizes are bytes.

    Parameters
    ----------
    problem : whose map it is
    start, stop : first line of the result, and the one behind the last
    ahead : lines and pixels in front of the first window that are read, and of no use
    """

    def __init__(
        self, problem: WindowProblem, start: int, stop: int, ahead: tuple[int, int] = (0, 0)
    ) -> None:
        window, pixel = problem.window, problem.in_pixel
        top, _, left, right = window.padding
        self.first = start * window.stride[0] - top
        self.end = (stop - 1) * window.stride[0] - top + window.reach[0]
        self.left = left * pixel
        #: Bytes of a line in the arena, and of the border behind it.
        self.line = round_up(problem.width * pixel, GRANULE_BYTES)
        # Pixels of four bytes may leave bytes behind the last that nobody defined.
        needed = max(left, right) * pixel
        self.border = round_up(needed, GRANULE_BYTES)
        self.is_clean = not needed or self.line == problem.width * pixel
        self.pitch = self.line + self.border
        in_front = self.left + ahead[0] * self.pitch + ahead[1] * pixel
        self.lead = round_up(in_front, GRANULE_BYTES)
        #: Lines of the map among them, from the first to behind the last; there may be none.
        self.inside = tuple(
            min(max(edge, self.first), self.end) for edge in (0, problem.height)
        )
        self.lines = self.end - self.first
        self.bytes = self.lead + self.lines * self.pitch

    def at(self, line: int) -> int:
        """Where line `line` of the map starts."""
        return self.lead + (line - self.first) * self.pitch


def _block_lines(config: AcceleratorConfig, problem: WindowProblem) -> list[int]:
    """Lines of a block: even parts of the result, as far as accumulators go."""
    high, wide = problem.out
    most = config.accumulator_rows // wide
    if most < 1:
        raise Unsupported(
            f"{problem.title}: a line of {wide} results needs as many accumulator rows, there are "
            f"{config.accumulator_rows}",
            "choose a larger preset",
        )
    fewest = -(-high // most)
    parts = {-(-high // p) for p in (1, 2, 3, 4, 6, 8, 12, 16, fewest, fewest + 1, 2 * fewest)}
    return sorted({min(most, p) for p in parts} | {1}, reverse=True)


def candidates(config: AcceleratorConfig, problem: WindowProblem) -> Iterator[WindowTiling]:
    """Tilings that should fit the memories of `config`."""
    if problem.maximum and config.cols != config.rows:
        raise Unsupported(
            f"{problem.title}: a row of results holds {config.cols} channels, the array compares "
            f"{config.rows} at once",
            "choose a preset with as many columns as rows",
        )
    if not MapLines(problem, 0, 1).is_clean:
        raise Unsupported(
            f"{problem.title}: lines of {problem.width} pixels of {problem.in_pixel} bytes end "
            f"within {GRANULE_BYTES} bytes, and a border follows",
            "give the map its border as data",
        )
    _, nt = problem.tiles(config)
    weight_tiles = config.weight_buffer_bytes // config.tile_bytes
    resident = problem.weight_tiles(config) <= weight_tiles
    column = config.cols * problem.result_type.bytes
    grain = max(1, GRANULE_BYTES // column)
    room = config.parameter_entries // config.cols
    most = nt if nt <= room or problem.kind is Channels.ALIKE else room // 2
    wanted = {-(-SEGMENT_BYTES * f // column) for f in (1, 2, 4, 8)} | {most, -(-most // 2)}
    gathers = sorted({min(most, round_up(max(1, g), grain)) for g in wanted}, reverse=True)
    bank, banks = config.scratchpad_bank_bytes, config.scratchpad_banks
    high = problem.out[0]
    for lines in _block_lines(config, problem):
        whole = lines >= high
        act_bytes = round_up(MapLines(problem, 0, lines).bytes + config.rows, 64)
        for gather in gathers:
            size = lines * problem.out[1] * result_pitch(config, problem.result_type, gather)
            seen = set()
            for copies in (BANKS, 2, 1) if problem.residual else (2, 1):
                apart = copies == BANKS
                out_banks = copies * -(-size // bank) if apart else -(-size * copies // bank)
                act = (banks - out_banks) * bank
                if out_banks in seen or act < act_bytes:
                    continue
                seen.add(out_banks)
                if not whole and act < 2 * act_bytes and copies == 1 and lines > 1:
                    continue
                yield WindowTiling(
                    lines=lines,
                    gather=gather,
                    result_banks=out_banks,
                    chunk_tiles=max(1, weight_tiles if resident else weight_tiles // 4),
                    weights_resident=resident,
                )
                if apart:
                    break
