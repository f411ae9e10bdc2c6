"""What reaches the linear layers of a torch model: ranges of every channel, over real inputs.

Ranges are plain minima and maxima. Clipping rare values costs a sentence model most of its
accuracy: a few channels carry the outliers on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UsageError

from .inputs import arguments_of, inputs_of
from .macs import counted_macs
from .redirect import Redirect

if TYPE_CHECKING:
    import torch

__all__ = ["Observation", "Observed", "evaluating", "observe"]

#: Rows of activations that are kept per layer and input, and altogether, to measure noise on.
ROWS_PER_CALL, ROWS_KEPT = 8, 256


@dataclass
class Observation:
    """What one layer saw: extremes of each channel, float32 [K] and [N], and some rows.

    group : number of the layers that read the very same tensors. macs : in the first input.
    x : float32 [M, K], real inputs; M is at most ROWS_KEPT.
    """

    x_low: NDArray[np.float32]
    x_high: NDArray[np.float32]
    y_low: NDArray[np.float32]
    y_high: NDArray[np.float32]
    group: int = -1
    macs: int = 0
    x: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def x_peak(self) -> NDArray[np.float32]:
        """Largest magnitude of each input channel, [K]."""
        return np.maximum(np.abs(self.x_low), np.abs(self.x_high))


@dataclass(frozen=True)
class Observed:
    """What a model did with its calibration.

    layers : name -> Observation, for the layers that were called. samples : arguments and keywords
    of the first input, and of each later one that called a layer for the first time. macs : of the
    first input's pass through the whole model, by operator (:func:`~.macs.counted_macs`).
    """

    layers: dict[str, Observation]
    samples: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    macs: Mapping[str, int]


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """`model` in evaluation mode and without gradients; each module's own mode comes back."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


class _Watch:
    """Sees what reaches the layers, and lets them compute what they would."""

    def __init__(self, layers: Mapping[str, torch.nn.Module]) -> None:
        self._names = {module: name for name, module in layers.items()}
        self.seen: dict[str, Observation] = {}
        #: Per layer, the numbers of the tensors that it read, -1 between inputs.
        self.signature: dict[str, list[int]] = {name: [] for name in layers}
        self.rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in layers}
        #: Tensors of one forward pass, kept alive so that none takes another's place.
        self._tensors: list[torch.Tensor] = []
        self._inputs = 0

    def next_input(self) -> None:
        self._inputs += 1
        self._tensors.clear()
        for numbers in self.signature.values():
            numbers.append(-1)

    def __call__(self, module: torch.nn.Module, source: torch.Tensor) -> torch.Tensor:
        name = self._names[module]
        index = next((i for i, t in enumerate(self._tensors) if t is source), len(self._tensors))
        if index == len(self._tensors):
            self._tensors.append(source)
        self.signature[name].append(index)
        x = source.detach().float().cpu().numpy()
        output: torch.Tensor = type(module).forward(module, source)
        y = output.detach().float().cpu().numpy()
        x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
        if len(x):
            _update(self.seen, name, x, y)
            if self._inputs == 1:
                self.seen[name].macs += x.size * y.shape[1]
            kept = sum(len(r) for r in self.rows[name])
            self.rows[name].append(x[: min(ROWS_PER_CALL, max(0, ROWS_KEPT - kept))].copy())
        return output


def observe(
    model: torch.nn.Module, layers: Mapping[str, torch.nn.Module], calibration: Any
) -> Observed:
    """Run the inputs of `calibration` through `model` and watch `layers`.

    Parameters
    ----------
    layers : name -> linear layer
    calibration : as :func:`~.inputs.inputs_of` and :func:`~.inputs.arguments_of` take it

    Raises
    ------
    UsageError
        There is no input, one cannot be given to the model, or a value at a layer is NaN or
        infinite.
    """
    watch = _Watch(layers)
    samples: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    macs: Mapping[str, int] = {}
    with ExitStack() as undo:
        for module in layers.values():
            undo.callback(Redirect(module, watch).remove)
        undo.enter_context(evaluating(model))
        for one in inputs_of(calibration):
            arguments, named = arguments_of(model, one)
            known = len(watch.seen)
            watch.next_input()
            if samples:
                model(*arguments, **named)
            else:
                with counted_macs() as macs:
                    model(*arguments, **named)
            if not samples or len(watch.seen) > known:
                samples.append((arguments, named))
    if not samples:
        raise UsageError("calibration needs at least one input, there is none", "give real inputs")
    groups: dict[tuple[int, ...], int] = {}
    for name, what in watch.seen.items():
        what.group = groups.setdefault(tuple(watch.signature[name]), len(groups))
        what.x = np.concatenate(watch.rows[name])
    return Observed(watch.seen, tuple(samples), macs)


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
        new.macs = old.macs
    seen[name] = new
