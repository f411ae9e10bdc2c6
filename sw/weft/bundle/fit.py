"""Whether a board holds a configuration: said before hours of place and route, not after."""

from __future__ import annotations

from weft.errors import Unsupported
from weft.synth.counts import CellCounts
from weft.synth.fit import misfits, recorded
from weft_hw.boards import RESOURCES
from weft_hw.config import PRESETS

from .overlay import Overlay

__all__ = ["check_fit"]

#: Bytes of a block of 36 Kbit and of an UltraRAM, parity bits included: none holds more.
_BRAM36_BYTES, _URAM_BYTES = 4608, 36_864
_ACCUMULATOR_BYTES = 4


def check_fit(overlay: Overlay) -> None:
    """Refuse a configuration that exceeds its board.

    Its memories are compared with those of the chip. Presets whose synthesis is on record in a
    checkout (``hw/resources.json``) are compared in all resources.

    Raises
    ------
    Unsupported
        The sentence says which resource, and by how much.
    """
    config, chip = overlay.config, overlay.board.chip
    wanted = config.scratchpad_bytes + config.weight_buffer_bytes + config.parameter_bytes
    wanted += config.accumulator_rows * config.cols * _ACCUMULATOR_BYTES
    there = int(chip.bram36 * _BRAM36_BYTES + chip.uram * _URAM_BYTES)
    if wanted > there:
        raise Unsupported(
            f"{config.name} has {wanted >> 10} KiB of memory on the chip, {overlay.board.name} has "
            f"{there >> 10} KiB ({wanted / there - 1:+.0%})",
            "choose a smaller preset or a larger board",
        )
    for name, kept in recorded().items():
        if name in PRESETS and PRESETS[name].hash == config.hash:
            if kept["target"] == overlay.target:
                total = kept["blocks"]["weft_top"]
                counts = CellCounts(name, **{key: total[key] for key in RESOURCES})
                wrong = misfits(counts, overlay.board)
                if wrong:
                    raise Unsupported(
                        f"{name} does not fit {overlay.board.name}: {'; '.join(wrong)}",
                        "choose a smaller preset or a larger board",
                    )
