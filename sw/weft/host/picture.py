"""Pictures as inputs: pixels 0..255, channels first, scaled as the model was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weft.errors import UsageError
from weft.tools import require

from .operators import Array

__all__ = ["read_picture"]


def read_picture(path: Path, shape: Sequence[int], pixels: Sequence[float] | None) -> Array:
    """float32 of `shape`, [1, C, H, W], of a picture file of that size.

    Parameters
    ----------
    pixels : (mean, std), see ``weft compile --pixels``; None where the model does not say.

    Raises
    ------
    UsageError
        The file is no picture, or one of another size; the model takes none, or does not say how.
    ToolMissing
        Pillow is not installed.
    """
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise UsageError(
            f"the input is {list(shape)}, and no picture [1, 1 or 3, H, W]", "give an .npy file"
        )
    if pixels is None:
        raise UsageError(
            "the model does not say what pixels stand for",
            "compile it with --pixels MEAN,STD, or give an .npy file",
        )
    require("PIL", what="reading a picture")
    from PIL import Image, UnidentifiedImageError

    high, wide = shape[2:]
    try:
        with Image.open(path) as picture:
            if picture.size != (wide, high):
                raise UsageError(
                    f"{path} is a picture of {picture.size[0]}x{picture.size[1]} pixels, the model "
                    f"takes {wide}x{high}",
                    "scale or cut it first",
                )
            found = np.asarray(picture.convert("L" if shape[1] == 1 else "RGB"), np.float32)
    except UnidentifiedImageError:
        raise UsageError(f"{path} is no picture that can be read") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"cannot read {path}: {str(error)[:200]}") from None
    mean, std = pixels
    scaled = (found.reshape(high, wide, shape[1]) - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None].astype(np.float32))
