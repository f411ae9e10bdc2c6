"""Inputs and outputs of a program as .npy files, without pickles.

numpy and the contract only: this runs on a board.
"""

from __future__ import annotations

import io
import math
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError
from weft.files.outputs import write_file
from weft.files.untrusted import check_name

from .program import Program
from .tensor import MAX_ARENA_BYTES, Array

__all__ = [
    "MAX_NPY_BYTES",
    "named_paths",
    "parse_npy",
    "read_inputs",
    "read_npy",
    "write_npy",
    "write_outputs",
]

#: An input is part of an arena, which 32 bits address; vectors of texts are smaller.
MAX_NPY_BYTES = MAX_ARENA_BYTES


def named_paths(inputs: Sequence[str], given: Sequence[str]) -> dict[str, Path]:
    """Paths of ``NAME=PATH``, or of ``PATH`` where there is one input.

    Parameters
    ----------
    inputs : names that there are

    Raises
    ------
    UsageError
        A file has no name, or a name is given twice.
    """
    found: dict[str, Path] = {}
    for item in given:
        name, equals, path = item.partition("=")
        if not equals:
            if len(inputs) != 1:
                names = ", ".join(inputs)
                raise UsageError(f"--input {item} names no input", f"write NAME={item}: {names}")
            name, path = inputs[0], item
        if name in found:
            raise UsageError(f"input {name!r} is given twice", "give it once")
        found[name] = Path(path)
    return found


def read_inputs(program: Program, given: Sequence[str]) -> dict[str, Array]:
    """Arrays of the files that :func:`named_paths` finds; raises as it does, and `read_npy`."""
    return {n: read_npy(path) for n, path in named_paths([*program.inputs], given).items()}


def write_outputs(arrays: Mapping[str, Array], folder: Path) -> list[Path]:
    """Write ``NAME.npy`` for each; their paths.

    Raises
    ------
    UsageError
        A name may not be that of a file, or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, array in arrays.items():
        try:
            paths.append(folder / f"{check_name('an output', name)}.npy")
        except ValueError as error:
            raise UsageError(str(error)) from None
        write_npy(paths[-1], array)
    return paths


#: What numpy raises, parsing a header as Python's syntax.
_NO_HEADER = (
    EOFError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


def parse_npy(data: bytes) -> NDArray[Any]:
    """The array in the content of a .npy file, of numbers, no larger than the content.

    Raises
    ------
    ValueError
        It is no such file, it is cut short, or it holds anything but real numbers.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"format version {version} is not read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers as Python 2 wrote them
            shape, _, dtype = read(stream)
    except _NO_HEADER as error:
        said = str(error).partition("\n")[0]
        raise ValueError(f"it has no header of a .npy file: {said or 'it ends'}") from None
    if dtype.hasobject or dtype.names or dtype.kind not in "biuf" or dtype.shape:
        raise ValueError(f"it holds {dtype}, not numbers")
    if any(n < 0 for n in shape):
        raise ValueError(f"it has the shape {list(shape)}")
    wanted, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if wanted != there:
        raise ValueError(f"its header says {wanted} bytes of values, there are {there}")
    stream.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return found


def read_npy(path: Path) -> NDArray[Any]:
    """The array of numbers in a .npy file.

    Raises
    ------
    UsageError
        It cannot be read, or is no such file.
    """
    try:
        if path.stat().st_size > MAX_NPY_BYTES:
            raise ValueError(f"it has more than {MAX_NPY_BYTES} bytes")
        return parse_npy(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "name a .npy file") from None
    except ValueError as error:
        raise UsageError(f"cannot read {path}: {error}", "name a .npy file") from None


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Write one array; raises UsageError where that cannot be."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    write_file(path, data.getvalue())
