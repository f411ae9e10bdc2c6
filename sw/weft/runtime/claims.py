"""Checks what is said of an accelerated model on inputs of its calibration: that it is so."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from weft.compiler.frontend.linears import FloatLinear, float_linear
from weft.compiler.frontend.observe import evaluating
from weft.compiler.frontend.redirect import Redirect
from weft.compiler.quantise.choose import Choice
from weft.compiler.quantise.linear import signal_to_noise_db
from weft.errors import AccuracyWarning

from .layer import AcceleratedLayer

__all__ = ["TOLERANCE_DB", "checked_choices"]

#: How much worse than on the calibration's rows a layer may be inside the accelerated model.
TOLERANCE_DB = 10.0

Sample = tuple[tuple[Any, ...], dict[str, Any]]


class _Measured:
    """An accelerated layer, and the energies of its results and of their errors."""

    def __init__(self, layer: AcceleratedLayer, module: torch.nn.Module) -> None:
        self.layer, self.real = layer, float_linear(module)
        self.want: list[np.ndarray[Any, Any]] = []
        self.got: list[np.ndarray[Any, Any]] = []

    def __call__(self, module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(module, x)
        if x.numel():
            rows = x.detach().double().cpu().numpy().reshape(-1, x.shape[-1])
            self.want.append(_float_product(self.real, rows))
            self.got.append(y.detach().double().cpu().numpy().reshape(-1, y.shape[-1]))
        return y

    @property
    def snr_db(self) -> float:
        return signal_to_noise_db(np.concatenate(self.want), np.concatenate(self.got))


def _float_product(real: FloatLinear, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    y: np.ndarray[Any, Any] = x @ real.weight.T.astype(np.float64)
    return y if real.bias is None else y + real.bias


def checked_choices(
    model: torch.nn.Module,
    redirects: Mapping[str, Redirect],
    choices: Sequence[Choice],
    samples: Sequence[Sample],
) -> tuple[Choice, ...]:
    """Run `samples` on the accelerated model, and say of each layer what it did there.

    A layer that no product ran for, though the calibration called it, computes in torch again, and
    its choice says so. ``snr_db`` of the others is measured here, each layer against float on the
    very input that reached it.

    Parameters
    ----------
    redirects : name -> what computes the layer; its ``compute`` is an AcceleratedLayer.

    Warns
    -----
    AccuracyWarning
        A layer did not run, or its signal to noise is far below that of the calibration.
    """
    measured: dict[str, _Measured] = {}
    with ExitStack() as undo:
        for name, redirect in redirects.items():
            layer = redirect.compute
            assert isinstance(layer, AcceleratedLayer)
            measured[name] = _Measured(layer, redirect.module)
            redirect.compute = measured[name]
            undo.callback(setattr, redirect, "compute", layer)
        undo.enter_context(evaluating(model))
        for arguments, named in samples:
            model(*arguments, **named)
    found, idle, worse = [], [], []
    for choice in choices:
        name = choice.layer
        if name not in measured:
            found.append(choice)
        elif not measured[name].want:
            redirects[name].remove()
            idle.append(name)
            found.append(replace(
                choice, where="host", scheme="float32", migration=False, result="float32",
                reason="called by the calibration, but not in the accelerated model",
                output_spread=None, snr_db=None,
            ))
        else:
            snr_db = measured[name].snr_db
            if choice.snr_db is not None and snr_db < choice.snr_db - TOLERANCE_DB:
                worse.append(f"{name!r} {snr_db:.1f} dB instead of {choice.snr_db:.1f}")
            found.append(replace(choice, snr_db=snr_db))
    for what, layers in (
        ("did not run on the accelerator, and stay in float", list(map(repr, idle))),
        ("are less exact in the accelerated model than alone", worse),
    ):
        if layers:
            warnings.warn(f"{len(layers)} layers {what}: {', '.join(layers)}", AccuracyWarning,
                          stacklevel=4)
    return tuple(found)
