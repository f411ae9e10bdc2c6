"""Programs by hand that keep something from run to run, with models in plain numpy.

Both work on matrices of M rows; the array takes R columns of them and gives C.
"""

from __future__ import annotations

import numpy as np

from weft.program import NodeSpan, Patch, Program, TensorSpec
from weft.program.asm import assemble
from weft_hw.config import AcceleratorConfig

__all__ = ["M", "POSITIONS", "Decoding", "TwoSteps"]

M = 8
POSITIONS = 4
_WEIGHTS, _PARAMETERS, _X, _H, _OUT, _CODE = 0x1000, 0x2000, 0x3000, 0x4000, 0x6000, 0x8000
_MULTIPLIER, _SHIFT = 70_000, 24


def _tile(config: AcceleratorConfig, weights: np.ndarray) -> np.ndarray:
    """int8 [R, C] as a load of weights takes it."""
    h, segments = config.tile_words, config.weight_rows_per_cycle
    return weights.reshape(segments, h, config.cols).transpose(1, 0, 2)


def _layer(a: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """int8 [M, C]: the definition of a layer of these programs."""
    v = a.astype(np.int64) @ weights.astype(np.int64)
    return np.clip((v * _MULTIPLIER + (1 << (_SHIFT - 1))) >> _SHIFT, -128, 127).astype(np.int8)


class _Layers:
    """Two layers of random weights."""

    def __init__(self, config: AcceleratorConfig, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        shape = (config.rows, config.cols)
        self.config = config
        self.a, self.b = (rng.integers(-127, 128, shape, np.int8) for _ in "ab")
        entry = np.uint64(_MULTIPLIER << 32 | _SHIFT << 49)
        tiles = [_tile(config, w).tobytes() for w in (self.a, self.b)]
        self.constants = [
            (_WEIGHTS, b"".join(tiles)),
            (_PARAMETERS, np.full(config.cols, entry)),
        ]
        # Names in the texts below; addresses on chip are in words of 4 bytes.
        self.names = {
            "tile": config.rows * config.cols,
            "tile_at": config.rows * config.cols // 4,
            "tile_word": config.tile_words,
            "entries": 8 * config.cols,
            "state": M * config.cols,
            "state_row": config.cols // 4,
            "w2": _WEIGHTS + config.rows * config.cols,
            "w": _WEIGHTS, "p": _PARAMETERS, "x": _X, "h": _H, "out": _OUT, "table": _X,
        }  # fmt: skip

    def program(self, text: str, **parts) -> Program:
        return Program(
            self.config,
            assemble(text.format_map(self.names)),
            program_offset=_CODE,
            arena_bytes=_CODE + 0x1000,
            **parts,
        )


_SETUP = "setup low=-128 high=127 result_jump={state_row}\n"
_MATMUL = "matmul count=8 tile_levels=1 first=1 last=1 wait=0 "


class TwoSteps(_Layers):
    """``out = A(h); h = B(x)``, so a run gives what the run before was given.

    x : int8 [2, 4, R]; h : int8 [M, C], at first `first`; out : int8 [M, C]
    """

    def __init__(self, config: AcceleratorConfig, seed: int = 0) -> None:
        super().__init__(config, seed)
        cols = config.cols
        self.first = np.random.default_rng(seed + 1).integers(-128, 128, (M, cols), np.int8)
        self.h = self.first
        text = f"""
            load space=weights dram_offset={{w}} rows=1 bytes={{tile}}
            load space=parameters dram_offset={{p}} rows=1 bytes={{entries}}
            load dram_offset={{h}} rows=1 bytes={{state}} chip_address=128 post=0
            {_SETUP}
            {_MATMUL} post=1 act_address=128 act_jump={{state_row}} result_address=512
            store wait=1 dram_offset={{out}} rows=1 bytes={{state}} chip_address=512
            load space=weights dram_offset={{w2}} rows=1 bytes={{tile}} chip_address={{tile_at}}
            load dram_offset={{x}} rows=1 bytes=128 post=0
            {_MATMUL} post=1 weight_address={{tile_word}} act_jump=4 result_address=768
            store wait=1 dram_offset={{h}} rows=1 bytes={{state}} chip_address=768
            end
        """
        dense = (cols,) if cols % 16 == 0 else ()
        shape = (M, cols) if dense else (M * cols,)
        self.compiled = self.program(
            text,
            constants=[*self.constants, (_H, self.first)],
            inputs=[TensorSpec("x", "int8", (2, 4, config.rows), _X, (64, 16))],
            outputs=[TensorSpec("out", "int8", shape, _OUT, dense)],
            states=[TensorSpec("h", "int8", shape, _H, dense)],
            nodes=[NodeSpan("A", "linear", 0, 6), NodeSpan("B", "linear", 6, 10)],
        )

    def reset(self) -> None:
        self.h = self.first

    def step(self, x: np.ndarray) -> np.ndarray:
        """What `out` is, flat."""
        rows = self.config.rows
        out = _layer(self.h[:, :rows], self.a)
        self.h = _layer(x.reshape(M, rows), self.b)
        return out.reshape(-1)


class Decoding(_Layers):
    """One step of a loop over positions: ``cache[position] = A(table[position])``; the positions so
    far are copied to `seen`, so an address and a count depend on the position.

    table : constant int8 [POSITIONS, M, R]; cache, seen : states int8 [POSITIONS, M * C]
    """

    def __init__(self, config: AcceleratorConfig, last: int = POSITIONS - 1) -> None:
        super().__init__(config)
        shape = (POSITIONS, M, config.rows)
        self.table = np.random.default_rng(9).integers(-128, 128, shape, np.int8)
        size = M * config.cols
        self.cache = np.zeros((POSITIONS, size), np.int8)
        self.seen = self.cache.copy()
        text = f"""
            load space=weights dram_offset={{w}} rows=1 bytes={{tile}}
            load space=parameters dram_offset={{p}} rows=1 bytes={{entries}}
            load dram_offset={{table}} rows=1 bytes={M * config.rows} post=0
            {_SETUP}
            {_MATMUL} post=1 act_jump={config.rows // 4} result_address=512
            store wait=1 post=2 dram_offset={{h}} rows=1 bytes={{state}} chip_address=512
            load wait=2 post=3 dram_offset={{h}} dram_pitch={{state}} rows=1 bytes={{state}} \
                chip_address=768 chip_pitch={size // 4}
            store wait=3 dram_offset={{out}} dram_pitch={{state}} rows=1 bytes={{state}} \
                chip_address=768 chip_pitch={size // 4}
            end
        """
        sites = [
            (2, "dram_offset", M * config.rows), (5, "dram_offset", size), (6, "rows", 1),
            (7, "rows", 1),
        ]  # fmt: skip
        self.compiled = self.program(
            text,
            constants=[*self.constants, (_X, self.table)],
            states=[
                TensorSpec("cache", "int8", (POSITIONS, size), _H, (size,)),
                TensorSpec("seen", "int8", (POSITIONS, size), _OUT, (size,)),
            ],
            patches=[Patch("position", 0, last, tuple(sites))],
        )

    def step(self, position: int) -> None:
        """Change `cache` and `seen` as a run does."""
        self.cache[position] = _layer(self.table[position], self.a).reshape(-1)
        self.seen[: position + 1] = self.cache[: position + 1]
