"""The living definition of each instruction: one function per opcode, from State to State.

MATMUL works on whole groups of tiles; tests hold it equal to a model that takes one element at a
time. The arithmetic is :mod:`weft_hw.numerics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from weft.errors import Unsupported
from weft.program.nest import MAX_TILE_ROWS, MAX_TILES, Affine, MatmulNest
from weft_hw import numerics
from weft_hw.isa import ErrorCode, Instruction, Opcode, ResultType, Space

from .depthwise import depthwise
from .parameters import split_parameters
from .state import State, Stop

__all__ = ["EXECUTE", "end", "load", "matmul", "setup", "store", "transfer_rows"]

Int = NDArray[np.int64]
#: Rows that are worked on at once: some tens of megabytes of intermediate sums at 64 columns.
BATCH_ROWS = 1 << 15
#: Tiles whose weights are gathered at once.
BATCH_TILES = 1 << 12
#: Nests that are kept decoded, and rows of one whose addresses are kept: 100 MB at most.
KEPT_NESTS, KEPT_ROWS = 1 << 11, 1 << 11


def transfer_rows(state: State, instruction: Instruction) -> tuple[Int, Int]:
    """(arena byte, on-chip byte) of the first byte of each row of a LOAD or STORE, both checked."""
    get = instruction.__getitem__
    rows = np.arange(get("rows"), dtype=np.int64)
    dram = get("dram_offset") + rows * get("dram_pitch")
    chip = 4 * (get("chip_address") + rows * get("chip_pitch"))
    space, end = Space(get("space")), int(chip[-1]) + get("bytes")
    if end > len(state.spaces[space]):
        raise Stop(
            ErrorCode.ADDRESS,
            f"byte {end - 1} is beyond the {len(state.spaces[space])} bytes of {space.name}",
        )
    end = int(dram[-1]) + get("bytes")
    if end > len(state.arena):
        raise Stop(
            ErrorCode.ARENA,
            f"byte {end - 1} is beyond the arena of {len(state.arena)} bytes",
        )
    return dram, chip


def load(state: State, instruction: Instruction) -> None:
    """Copy rows from the arena to an on-chip memory, or fill them."""
    dram, chip = transfer_rows(state, instruction)
    size, memory = instruction["bytes"], state.spaces[Space(instruction["space"])]
    if instruction["fill"]:
        for b in chip.tolist():
            memory[b : b + size] = instruction["fill_value"] & 0xFF
        return
    for a, b in zip(dram.tolist(), chip.tolist()):
        memory[b : b + size] = state.arena[a : a + size]
    state.bytes_read += len(dram) * size


def store(state: State, instruction: Instruction) -> None:
    """Copy rows from the scratchpad to the arena."""
    dram, chip = transfer_rows(state, instruction)
    size, memory = instruction["bytes"], state.spaces[Space.SCRATCHPAD]
    for a, b in zip(dram.tolist(), chip.tolist()):
        state.arena[a : a + size] = memory[b : b + size]
    state.bytes_written += len(dram) * size


def setup(state: State, instruction: Instruction) -> None:
    """Replace the settings of the MATMULs that follow."""
    state.setup = instruction


def end(state: State, instruction: Instruction) -> None:
    """Nothing: the control unit waits until all units are idle and raises done."""


def matmul(state: State, instruction: Instruction) -> None:
    """Stream activation rows past weight tiles into accumulators, and emit the last passes.

    For every row of the nest, in order: ``v = act @ W + (bias if first pass else accumulators)``,
    modulo 2**32, or the larger of the two; a last pass writes the result of v to the scratchpad,
    others keep v.
    """
    decoded = _decoded(instruction, state.setup)
    nest = decoded.nest
    if not nest.is_tractable:
        raise Unsupported(
            f"the emulator runs MATMULs of at most {MAX_TILES} tiles of {MAX_TILE_ROWS} rows, not "
            f"{nest.tiles} of {nest.rows}",
            "divide it into several",
        )
    for tiles, rows in _batches(nest):
        _matmul_batch(state, decoded, tiles, rows)
    state.rows += nest.tiles * nest.rows


def _batches(nest: MatmulNest) -> Iterator[tuple[slice, slice]]:
    """Slices of tiles, and of the rows of each of them, in order of the nest."""
    if nest.rows > BATCH_ROWS:
        for tile in range(nest.tiles):
            for row in range(0, nest.rows, BATCH_ROWS):
                yield slice(tile, tile + 1), slice(row, min(row + BATCH_ROWS, nest.rows))
        return
    step = min(BATCH_TILES, BATCH_ROWS // nest.rows)
    for tile in range(0, nest.tiles, step):
        yield slice(tile, min(tile + step, nest.tiles)), slice(0, nest.rows)


class _Decoded:
    """A nest with its addresses; those of short nests are kept for the next run."""

    def __init__(self, nest: MatmulNest) -> None:
        self.nest = nest
        self._short = nest.is_tractable and nest.tiles * nest.rows <= KEPT_ROWS
        self._kept: dict[str, Int] = {}

    @cached_property
    def passes(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(first, last), bool [tiles] each."""
        return self.nest.passes()

    def addresses(self, name: str, tiles: slice, rows: slice = slice(None)) -> Int:
        """int64 [tiles, rows]; [tiles, 1] of weights and parameters, which stay within a tile."""
        if not self._short:
            return self._make(name, tiles, rows)
        if name not in self._kept:
            self._kept[name] = self._make(name, slice(None), slice(None))
            self._kept[name].setflags(write=False)
        return self._kept[name][tiles, rows]

    def _make(self, name: str, tiles: slice, rows: slice) -> Int:
        """As the generators of the core count them: modulo 2**bits."""
        affine: Affine = getattr(self.nest, name)
        tile_levels = len(affine.counts) - len(self.nest.weight.counts)
        outer, inner = affine.split(tile_levels)
        found = outer.values()[tiles, None] + inner.values()[None, rows]
        return found & ((1 << affine.bits) - 1)


@lru_cache(maxsize=KEPT_NESTS)
def _decoded(instruction: Instruction, setup: Instruction | None) -> _Decoded:
    return _Decoded(MatmulNest(instruction, setup))


def _within(what: str, addresses: Int, size: int, limit: int) -> None:
    """Stop unless every range of `size` from `addresses` lies in 0..limit-1."""
    if addresses.size and (addresses.min() < 0 or addresses.max() + size > limit):
        bad = int(addresses[(addresses < 0) | (addresses + size > limit)][0])
        raise Stop(ErrorCode.ADDRESS, f"{what} address {bad} is outside 0..{limit - size}")


def _matmul_batch(state: State, decoded: _Decoded, tiles: slice, rows: slice) -> None:
    """One batch of :func:`matmul`."""
    config = state.config
    first, last = (x[tiles] for x in decoded.passes)
    act = decoded.addresses("act", tiles, rows)
    line_words = config.line_bytes // 4
    _within("activation", act, line_words, config.scratchpad_words)
    weight = decoded.addresses("weight", tiles)[:, 0]
    _within("weight", weight, config.tile_words, config.weight_words)
    uses = first | last
    pairs = decoded.addresses("parameter", tiles)[:, 0]
    bias, multiplier, shift = _parameters(state, pairs, uses)
    start = np.where(first[:, None], bias, 0)
    acc = decoded.addresses("acc", tiles, rows)
    _within("accumulator", acc[~(first & last)], 1, config.accumulator_rows)
    (count, tile_rows), each = acc.shape, 1
    if not np.all(first & last) and np.unique(acc[0]).size < tile_rows:
        # Rows of a tile meet in an accumulator, so each row counts as a tile: one after the other.
        each = tile_rows
    act, acc = (x.reshape(count * each, -1) for x in (act, acc))
    tile = np.repeat(np.arange(count), each)
    given = _Tiles(act, acc, weight[tile], start[tile], first[tile], last[tile])
    v = (_maxima if state.setting("maximum") else _sums)(state, given)
    v = v.reshape(-1, tile_rows, config.cols)
    if np.any(last):
        at = decoded.addresses("result", tiles, rows)[last]
        _emit(state, numerics.wrap32(v), at, multiplier[last], shift[last])


def _rows(state: State) -> NDArray[np.int8]:
    """int8 [words, R]: what the array reads from each word of the scratchpad on; a view."""
    scratchpad = state.spaces[Space.SCRATCHPAD].view(np.int8).reshape(-1)
    return sliding_window_view(scratchpad, state.config.rows)[::4]


@dataclass(frozen=True)
class _Tiles:
    """Tiles in order, and what each adds to.

    Parameters
    ----------
    act : int64 [tiles, rows], scratchpad words
    acc : int64 [tiles, rows], accumulator rows, all different within a tile that uses them
    weight : int64 [tiles], weight words
    start : int64 [tiles, C], the bias of a first pass, else zero
    first, last : bool [tiles]
    """

    act: Int
    acc: Int
    weight: Int
    start: Int
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]


def _sums(state: State, tiles: _Tiles) -> Int:
    """Sums of the last passes, int64 [tiles with last, rows, C], and the accumulators after them.

    A run is a series of tiles that add to the same accumulators, so it is one product with all
    their rows of weights. It starts at a first pass and ends at a last one.
    """
    act, acc, weight, first, last = tiles.act, tiles.acc, tiles.weight, tiles.first, tiles.last
    count, rows = acc.shape
    starts = first.copy()
    starts[0] = True
    starts[1:] |= last[:-1] | (acc[1:, 0] != acc[:-1, 0])
    edges = [*np.flatnonzero(starts).tolist(), count]
    results = np.empty((int(np.count_nonzero(last)), rows, state.config.cols), np.int64)
    done = 0
    for begin, end in zip(edges, edges[1:]):
        at, kept = acc[begin], end - int(last[end - 1])
        v = np.broadcast_to(tiles.start[begin], results.shape[1:])
        if not first[begin]:
            v = v + state.accumulators[at]
        if kept > begin:
            v = v + _product(state, act[begin:kept], weight[begin:kept])
            state.accumulators[at] = numerics.wrap32(v)
        if last[end - 1]:
            results[done] = v + _product(state, act[kept:end], weight[kept:end])
            done += 1
    return results


def _maxima(state: State, tiles: _Tiles) -> Int:
    """:func:`_sums` where each pass keeps the larger of product and accumulator."""
    found = []
    for i, acc in enumerate(tiles.acc):
        before = tiles.start[i] if tiles.first[i] else state.accumulators[acc]
        product = _product(state, tiles.act[i : i + 1], tiles.weight[i : i + 1])
        v = numerics.larger(before, product)
        if tiles.last[i]:
            found.append(v)
        else:
            state.accumulators[acc] = v
    shape = (len(found), tiles.acc.shape[1], state.config.cols)
    return np.array(found, np.int64).reshape(shape)


def _product(state: State, act: Int, weight: Int) -> Int:
    """int64 [rows, C]: activations from words `act` [tiles, rows] on times the tiles at `weight`
    [tiles], summed."""
    tiles, rows = act.shape
    reduction = tiles * state.config.rows
    # Products are at most 2**14, so the sums are exact.
    kind = np.float32 if reduction <= 1 << 10 else np.float64
    a = _rows(state)[act.T].reshape(rows, reduction).astype(kind)
    w = _weights(state, weight).reshape(reduction, -1).astype(kind)
    return np.asarray(np.matmul(a, w), np.int64)


def _weights(state: State, address: Int) -> NDArray[np.int8]:
    """int8 [tiles, R, C]: the tiles whose first words are at `address`."""
    config = state.config
    h, segments = config.tile_words, config.weight_rows_per_cycle
    words = state.spaces[Space.WEIGHTS].view(np.int8).reshape(-1, segments, config.cols)
    found = words[address[:, None] + np.arange(h)].transpose(0, 2, 1, 3)  # [tiles, L, h, C]
    return np.asarray(found.reshape(-1, config.rows, config.cols), np.int8)


def _parameters(state: State, pairs: Int, uses: NDArray[np.bool_]) -> tuple[Int, Int, Int]:
    """(bias, multiplier, shift), int64 [tiles, C] each; zero for a tile that uses none."""
    config = state.config
    _within("parameter", pairs[uses], config.cols // 2, config.parameter_entries // 2)
    entries = state.spaces[Space.PARAMETERS].view("<u8")
    at = np.where(uses, 2 * pairs, 0)[:, None] + np.arange(config.cols)
    raw = np.where(uses[:, None], entries[np.minimum(at, len(entries) - 1)], np.uint64(0))
    return split_parameters(raw)


def _emit(state: State, v: NDArray[np.int32], address: Int, multiplier: Int, shift: Int) -> None:
    """Write results: v int32 [tiles, rows, C], address int64 [tiles, rows], in order."""
    config, kind = state.config, ResultType(state.setting("result_type"))
    row_words = config.cols * kind.bytes // 4
    _within("result", address, row_words, config.scratchpad_words)
    words = state.spaces[Space.SCRATCHPAD].view("<u4")
    at = address.reshape(-1, 1) + np.arange(row_words)
    residual = words[at].view(np.int8).reshape(v.shape) if state.setting("residual") else None
    results: NDArray[np.signedinteger]
    if kind is ResultType.INT32:
        results = v.astype("<i4")
    else:
        y = numerics.requantise(
            v,
            multiplier[:, None, :],
            shift[:, None, :],
            pre=state.setting("pre"),
            zero_point=state.setting("zero_point"),
            low=state.setting("low"),
            high=state.setting("high"),
            residual=residual,
            residual_zero_point=state.setting("residual_zero_point"),
            residual_multiplier=state.setting("residual_multiplier"),
        )
        results = y.astype("<i2") if kind is ResultType.INT16 else y.astype(np.int8)
        if state.setting("table_enable"):
            tables = state.spaces[Space.TABLES].view(np.int8).reshape(-1, numerics.TABLE_SIZE)
            results = numerics.lookup(tables[state.setting("table")], results)
    # Where rows overlap the later one wins: numpy assigns in order of the index.
    words[at.reshape(-1)] = np.ascontiguousarray(results).view("<u4").reshape(-1)


#: Meaning of each opcode.
EXECUTE: Mapping[Opcode, Callable[[State, Instruction], None]] = MappingProxyType(
    {
        Opcode.END: end,
        Opcode.LOAD: load,
        Opcode.STORE: store,
        Opcode.SETUP: setup,
        Opcode.MATMUL: matmul,
        Opcode.DEPTHWISE: depthwise,
    }
)
