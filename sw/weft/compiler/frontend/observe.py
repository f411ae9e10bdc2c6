"""What reaches the linear layers of a torch model: ranges of every channel, over real inputs.

Ranges are plain minima and maxima. Clipping rare values costs a sentence model most of its
accuracy: a few channels carry the outliers on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["Observation", "call", "observe"]

#: Rows of activations that are kept per layer and input, and altogether, to measure noise on.
ROWS_PER_CALL, ROWS_KEPT = 8, 256


@dataclass
class Observation:
    """What one layer saw: extremes of each channel, float32 [K] and [N], and some rows.

    group : number of the layers that read the very same tensors. x : float32 [M, K], real inputs; M
    is at most ROWS_KEPT.
    """

    x_low: NDArray[np.float32]
    x_high: NDArray[np.float32]
    y_low: NDArray[np.float32]
    y_high: NDArray[np.float32]
    group: int = -1
    x: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def x_peak(self) -> NDArray[np.float32]:
        """Largest magnitude of each input channel, [K]."""
        return np.maximum(np.abs(self.x_low), np.abs(self.x_high))


def call(model: torch.nn.Module, inputs: Any) -> Any:
    """``model(**inputs)`` for a mapping, ``model(*inputs)`` for a tuple, else ``model(inputs)``."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def observe(
    model: torch.nn.Module,
    layers: Mapping[str, torch.nn.Module],
    inputs: Iterable[Any],
) -> dict[str, Observation]:
    """Run `inputs` through `model` and watch `layers`.

    Parameters
    ----------
    layers : name -> linear layer
    inputs : as :func:`call` takes them

    Returns
    -------
    name -> Observation, for the layers that were called.

    Raises
    ------
    UsageError
        There is no input, or a value at a layer is NaN or infinite.
    """
    import torch

    seen: dict[str, Observation] = {}
    signature: dict[str, list[int]] = {name: [] for name in layers}
    #: Tensors of one forward pass, kept alive so that none takes another's place.
    tensors: list[torch.Tensor] = []
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in layers}

    def watch(name: str) -> Callable[..., None]:
        def hook(_: Any, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            source = arguments[0]
            index = next((i for i, t in enumerate(tensors) if t is source), len(tensors))
            if index == len(tensors):
                tensors.append(source)
            signature[name].append(index)
            x, y = (t.detach().float().cpu().numpy() for t in (source, output))
            x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
            if not len(x):
                return
            _update(seen, name, x, y)
            kept = sum(len(r) for r in rows[name])
            rows[name].append(x[: min(ROWS_PER_CALL, max(0, ROWS_KEPT - kept))].copy())

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    training, count = model.training, 0
    model.eval()
    try:
        with torch.no_grad():
            for one in inputs:
                tensors.clear()
                for name in layers:
                    signature[name].append(-1)
                call(model, one)
                count += 1
    finally:
        for handle in handles:
            handle.remove()
        model.train(training)
    if not count:
        raise UsageError("calibration needs at least one input, there is none", "give real inputs")
    groups: dict[tuple[int, ...], int] = {}
    for name, what in seen.items():
        what.group = groups.setdefault(tuple(signature[name]), len(groups))
        what.x = np.concatenate(rows[name])
    return seen


def _update(
    seen: dict[str, Observation], name: str, x: NDArray[np.float32], y: NDArray[np.float32]
) -> None:
    new = Observation(x.min(axis=0), x.max(axis=0), y.min(axis=0), y.max(axis=0))
    for what, low, high in (("input", new.x_low, new.x_high), ("output", new.y_low, new.y_high)):
        if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
            raise UsageError(
                f"calibration: the {what} of layer {name!r} holds NaN or infinity",
                "remove the input that causes it, or repair the model",
            )
    old = seen.get(name)
    if old is not None:
        new.x_low, new.y_low = np.minimum(old.x_low, new.x_low), np.minimum(old.y_low, new.y_low)
        new.x_high = np.maximum(old.x_high, new.x_high)
        new.y_high = np.maximum(old.y_high, new.y_high)
    seen[name] = new
