"""Inputs and outputs of a program as .npy files, without pickles.

numpy and the contract only: this runs on a board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from weft.errors import UsageError

from .program import Program
from .tensor import Array

__all__ = ["read_inputs", "write_outputs"]


def read_inputs(program: Program, given: Sequence[str]) -> dict[str, Array]:
    """Arrays of ``NAME=PATH``, or of ``PATH`` where the program has one input.

    Raises
    ------
    UsageError
        A name is unknown or twice, or a file cannot be read.
    """
    found: dict[str, Array] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals:
            if len(program.inputs) != 1:
                names = ", ".join(program.inputs)
                raise UsageError(f"--input {item} names no input", f"write NAME={item}: {names}")
            name, path = next(iter(program.inputs)), item
        if name in found:
            raise UsageError(f"input {name!r} is given twice", "give it once")
        try:
            found[name] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}", "name a .npy file") from None
    return found


def write_outputs(arrays: Mapping[str, Array], folder: Path) -> list[Path]:
    """Write ``NAME.npy`` for each; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, array in arrays.items():
        paths.append(folder / f"{name}.npy")
        np.save(paths[-1], array, allow_pickle=False)
    return paths
