"""Constants as the accelerator reads them: weight tiles, parameter entries, tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weft.compiler.graph.requant import Requant
from weft.compiler.schedule.walk import Walk
from weft_hw.config import PARAMETER_BYTES, AcceleratorConfig
from weft_hw.isa import TAP_PARAMETERS, TAPS
from weft_hw.numerics import MULTIPLIER_AT, SHIFT_AT

__all__ = ["pack_parameters", "pack_taps", "pack_weights"]


def pack_weights(config: AcceleratorConfig, weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """Tiles of W, columns of tiles one after the other, K innermost.

    Parameters
    ----------
    weights : int8 [K, N]

    Returns
    -------
    int8 [tiles along N, tiles along K, R * C]
        Tile (n, k) holds ``W[k*R + g*h + j, n*C + c]`` at byte ``(j*L + g)*C + c``, with h = R / L;
        zero past K and past N.
    """
    k, n = weights.shape
    r, c = config.rows, config.cols
    segments, words = config.weight_rows_per_cycle, config.tile_words
    k_tiles, n_tiles = -(-k // r), -(-n // c)
    padded = np.zeros((k_tiles * r, n_tiles * c), np.int8)
    padded[:k, :n] = weights
    tiles = padded.reshape(k_tiles, segments, words, n_tiles, c).transpose(3, 0, 2, 1, 4)
    return np.ascontiguousarray(tiles).reshape(n_tiles, k_tiles, config.tile_bytes)


def pack_parameters(
    config: AcceleratorConfig, bias: NDArray[np.signedinteger], requant: Requant | None  # type: ignore[type-arg]
) -> NDArray[np.uint64]:
    """Parameter entries, padded to whole tiles of C channels.

    Parameters
    ----------
    bias : int32 [N]
    requant : of N channels; None leaves multipliers and shifts zero, as int32 results need none.

    Returns
    -------
    uint64 [ceil(N / C) * C]
        Bias in the lowest bits, then multiplier and shift (``weft_hw.numerics``); padding is zero.
    """
    n = len(bias)
    entries = np.zeros(-(-n // config.cols) * config.cols, "<u8")
    entries[:n] = np.ascontiguousarray(bias, np.int32).view(np.uint32)
    if requant is not None:
        entries[:n] |= requant.multiplier.astype(np.uint64) << np.uint64(MULTIPLIER_AT)
        entries[:n] |= requant.shift.astype(np.uint64) << np.uint64(SHIFT_AT)
    return entries


def pack_taps(
    config: AcceleratorConfig, weights: NDArray[np.int8], entries: NDArray[np.uint64], walk: Walk
) -> NDArray[np.int8]:
    """Taps of a window on the depthwise engine, with the parameters of its channels.

    Parameters
    ----------
    weights : int8 [down, across, channels]
    entries : uint64 [at least channels]
        Of :func:`pack_parameters`.

    Returns
    -------
    int8 [taps, groups * words of a block, R]
        A block is the words of a group of R channels: first parameters, eight bytes a channel,
        which fill a word of each tap before the next; then, for each row of the kernel, and for
        each of its reads that fires, one of weights. Zero past the channels.
    """
    r, channels = config.rows, weights.shape[2]
    groups, words = -(-channels // r), walk.block_words(config)
    kernel = np.zeros((*weights.shape[:2], groups * r), np.int8)
    kernel[:, :, :channels] = weights
    # Rows of the kernel, and columns along the way of the window.
    kernel = kernel if walk.across else kernel.transpose(1, 0, 2)
    kernel = kernel.reshape(*kernel.shape[:2], groups, r)
    found = np.zeros((TAPS, groups, words, r), np.int8)
    parameters = np.zeros((groups, TAP_PARAMETERS * TAPS * r), np.int8)
    padded = np.zeros(groups * r, "<u8")
    kept = min(len(entries), len(padded))
    padded[:kept] = entries[:kept]
    parameters[:, : PARAMETER_BYTES * r] = padded.view(np.int8).reshape(groups, -1)
    blocks = parameters.reshape(groups, TAP_PARAMETERS, TAPS, r)
    found[:, :, :TAP_PARAMETERS] = blocks.transpose(2, 0, 1, 3)
    # [taps, groups, rows of the kernel, reads that fire, R]
    shape = (TAPS, groups, walk.other, len(walk.columns), r)
    phases = np.zeros(shape, np.int8)
    for phase, columns in enumerate(walk.columns):
        for tap, column in enumerate(columns):
            if column >= 0:
                phases[tap, :, :, phase] = kernel[:, column].transpose(1, 0, 2)
    fired = walk.other * len(walk.columns)
    found[:, :, TAP_PARAMETERS : TAP_PARAMETERS + fired] = phases.reshape(TAPS, groups, fired, r)
    return found.reshape(TAPS, groups * words, r)
