"""The forward pass of one linear layer, on an accelerator."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import torch

from weft.compiler.frontend.linears import checksum
from weft.compiler.quantise.linear import QuantisedLinear
from weft.errors import AccuracyWarning, UsageError

from .session import Session

__all__ = ["FAR", "FAR_SHARE", "AcceleratedLayer"]

#: A layer warns where an input is so many times what the calibration saw at most,
FAR = 4.0
#: or where such a share of a call's values lie beyond it.
FAR_SHARE = 0.01


class _NoGradient(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """Passes a result on; going back through it is an error, not a zero."""

    @staticmethod
    def forward(context: Any, y: torch.Tensor, name: str, *_: torch.Tensor) -> torch.Tensor:
        context.name = name
        return y.view_as(y)

    @staticmethod
    def backward(context: Any, *_: torch.Tensor) -> Any:
        raise UsageError(
            f"layer {context.name!r} runs on the accelerator, which has no gradient",
            "call restore() before training, or run the model under torch.no_grad()",
        )


class AcceleratedLayer:
    """Computes a linear layer in a :class:`~.session.Session`.

    The host quantises the input and turns the results back into float. Nothing of an input is kept
    between calls.

    Parameters
    ----------
    layer : QuantisedLinear
    session : knows `layer`
    checksum : of the float weights that `layer` was made from

    Attributes
    ----------
    calls : products so far. values : of inputs so far. clipped : of them beyond the range of the
    calibration, which became its nearest end.
    """

    def __init__(self, layer: QuantisedLinear, session: Session, checksum: int) -> None:
        self.layer, self.session = layer, session
        self.calls = self.values = self.clipped = 0
        self._checksum, self._warned, self._counting = checksum, False, threading.Lock()

    def reset(self) -> None:
        """Forget the counts."""
        self.calls = self.values = self.clipped = 0

    def __call__(self, module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Results [..., N] on the device of `x`, [..., K], in the dtype that torch would give.

        Raises
        ------
        UsageError
            `x` has another shape, is no plain tensor of floats, or holds NaN or infinity; the
            weights of `module` are no longer those that were quantised; the session is closed.
        """
        name = self.layer.name
        k, n = self.layer.weights.shape
        if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.ndim == 0:
            plain = isinstance(x, torch.Tensor)
            found = f"{x.dtype} {list(x.shape)}" if plain else type(x).__name__
            raise UsageError(f"layer {name!r} needs a tensor of floats [..., {k}], not {found}")
        if x.layout is not torch.strided or x.is_nested:
            raise UsageError(f"layer {name!r} needs a dense tensor", "call to_dense() first")
        if x.shape[-1] != k:
            raise UsageError(f"layer {name!r} needs [..., {k}], not {list(x.shape)}")
        if checksum(module) != self._checksum:
            raise UsageError(
                f"the weights of layer {name!r} have changed since they were quantised",
                "call restore(), then accelerate the model again",
            )
        shape = (*x.shape[:-1], n)
        dtype = x.dtype
        if torch.is_autocast_enabled(x.device.type) and dtype != torch.float64:
            dtype = torch.get_autocast_dtype(x.device.type)
        y = self._product(x) if x.numel() else np.zeros((0, n))
        with torch.no_grad():
            result = torch.from_numpy(y).to(x.device, dtype).reshape(shape)
        sources = [t for t in (x, *module.parameters()) if t.requires_grad]
        if sources and torch.is_grad_enabled():
            gradless: torch.Tensor = _NoGradient.apply(result, name, *sources)
            return gradless
        return result

    def _product(self, x: torch.Tensor) -> np.ndarray[Any, Any]:
        name = self.layer.name
        real = x.detach().to("cpu", torch.float32).reshape(-1, x.shape[-1]).numpy()
        if not np.all(np.isfinite(real)):
            raise UsageError(
                f"the input of layer {name!r} holds NaN or infinity",
                "look for it in the model's input, or keep earlier layers in float",
            )
        q, scale = self.layer.quantise(real)
        clipped, reach = self.layer.clipped(real)
        y = self.layer.real(self.session.run(name, q), scale)
        with self._counting:
            self.calls += 1
            self.values += real.size
            self.clipped += clipped
            far = not self._warned and (reach > FAR or clipped > FAR_SHARE * real.size)
            self._warned |= far
        if far:
            warnings.warn(
                f"{clipped} of {real.size} values at layer {name!r} lie beyond the calibration, up "
                f"to {reach:.1f} times its range, and were cut off; calibrate on inputs like "
                "these, or give per_row=True",
                AccuracyWarning,
                stacklevel=2,
            )
        return y
