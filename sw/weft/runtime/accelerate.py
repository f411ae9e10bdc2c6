"""Lets an accelerator compute the linear layers of a torch model, and torch again.

Four steps, each a call of its own: :func:`weft.compiler.quantise.model.quantise` (no device),
:func:`weft.backend.opening.open_backend`, :func:`swap`, and running the model. :func:`accelerate`
does the first three. Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from weft.backend.base import Backend
from weft.backend.opening import known_backend, open_backend
from weft.compiler.frontend.inputs import tensors_of
from weft.compiler.frontend.linears import checksum, why_not
from weft.compiler.frontend.redirect import Redirect
from weft.compiler.quantise.choose import Choice
from weft.compiler.quantise.model import QuantisedGraph, coverage, quantise
from weft.dram import MemoryModel, memory_of
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig, ConfigError
from weft_hw.config import preset as preset_of

from .claims import checked_choices
from .layer import AcceleratedLayer
from .session import Session

__all__ = ["Accelerated", "accelerate", "swap"]


class Accelerated:
    """A model whose linear layers run on an accelerator; gives them back when it is left.

    The layers stay where they are in the model, with their weights, hooks and names; only their
    forward pass is another one.

    model : the model that was given. session : what runs the products, with its measurements.
    choices : one per linear layer of the model, in its order; ``snr_db`` is measured in this model.
    layers : name -> what computes it, with its counts. macs : of the whole model in the first input
    of the calibration, by operator of torch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        session: Session,
        redirects: Mapping[str, Redirect],
        choices: Sequence[Choice],
        macs: Mapping[str, int],
    ) -> None:
        self.model, self.session, self.choices, self.macs = model, session, tuple(choices), macs
        self._redirects = dict(redirects)

    @property
    def layers(self) -> dict[str, AcceleratedLayer]:
        """Layers that run on the accelerator, by name."""
        return {
            c.layer: self._redirects[c.layer].compute  # type: ignore[misc]
            for c in self.choices
            if c.where == "accelerator"
        }

    @property
    def coverage(self) -> float:
        """Share of the model's multiplications that runs on the accelerator, 0..1."""
        return coverage(self.choices, self.macs)

    @property
    def clipped(self) -> dict[str, int]:
        """Values beyond the calibration's range since the swap, for the layers that met any."""
        return {name: layer.clipped for name, layer in self.layers.items() if layer.clipped}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the model without gradients; arrays become tensors.

        Raises
        ------
        UsageError
            After :meth:`restore`.
        """
        self.session.device.require_open()
        arguments = tuple(tensors_of(self.model, value) for value in arguments)
        named = {name: tensors_of(self.model, value) for name, value in named.items()}
        with torch.no_grad():
            return self.model(*arguments, **named)

    def restore(self) -> torch.nn.Module:
        """Let torch compute the layers again and close the session; a second call does nothing."""
        for redirect in self._redirects.values():
            redirect.remove()
        self.session.close()
        return self.model

    def __enter__(self) -> Accelerated:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()


def swap(
    model: torch.nn.Module,
    quantised: QuantisedGraph,
    device: Backend[Any],
    memory: MemoryModel | None = None,
    *,
    check: bool = True,
) -> Accelerated:
    """Let `device` compute the layers of `model` that `quantised` holds.

    Parameters
    ----------
    quantised : of this model
    device : an open backend, closed by ``restore()``, or here where an error is raised
    memory : the DRAM that schedules are chosen for; that of the board of the device's configuration
        by default.
    check : run inputs of the calibration, and correct ``choices`` by what each layer did: see
        :func:`weft.runtime.claims.checked_choices`. Else they are what was planned.

    Raises
    ------
    UsageError
        `model` has no such layer, or other weights than those that were quantised.
    Unsupported
        A layer does not fit the accelerator; the model is left as it was.
    """
    modules = dict(model.named_modules())
    redirects: dict[str, Redirect] = {}
    with ExitStack() as undo:
        undo.callback(device.close)
        session = Session(device, memory or memory_of(device.config))
        for name, layer in quantised.layers.items():
            module = modules.get(name)
            if module is None or not hasattr(module, "weight"):
                raise UsageError(
                    f"{type(model).__name__} has no linear layer {name!r}",
                    "give the model that was quantised",
                )
            reason = why_not(module)
            if reason is None and checksum(module) != quantised.checksums[name]:
                reason = "its weights are not those that were quantised"
            if reason is not None:
                raise UsageError(
                    f"layer {name!r} cannot be computed elsewhere: {reason}",
                    "give the model that was quantised, or quantise it again",
                )
            session.add(name, layer.graph)
            computed = AcceleratedLayer(layer, session, quantised.checksums[name])
            redirects[name] = Redirect(module, computed)
            undo.callback(redirects[name].remove)
        choices = quantised.choices
        if check:
            choices = checked_choices(model, redirects, choices, quantised.samples)
            if all(c.where == "host" for c in choices):
                raise UsageError(
                    f"no linear layer of {type(model).__name__} ran on the accelerator",
                    "its products run in torch, without Weft",
                )
            session.reset()
            for redirect in redirects.values():
                redirect.compute.reset()  # type: ignore[attr-defined]
        undo.pop_all()
    return Accelerated(model, session, redirects, choices, quantised.macs)


def accelerate(
    model: torch.nn.Module,
    *,
    calibration: Any,
    preset: str | AcceleratorConfig = "pynq-z2",
    backend: str = "emulator",
    device: Backend[Any] | None = None,
    per_row: bool = False,
    migrate: bool = True,
    result: str | None = None,
    results: Mapping[str, str] | None = None,
    keep_float: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> Accelerated:
    """Let an accelerator compute the linear layers of `model`.

    Which these are, :func:`~weft.compiler.quantise.model.quantise` says. One input of the
    calibration is then run, and what ``choices`` says of each layer is what it did there.

    Parameters
    ----------
    model, calibration, per_row, migrate, result, results, keep_float, progress
        As :func:`~weft.compiler.quantise.model.quantise` takes them.
    preset : name of a preset, or a configuration
    backend : a name of :data:`weft.backend.opening.BACKENDS`
        "pynq" is the board that ``$WEFT_BOARD`` and ``$WEFT_OVERLAY`` name.
    device : Backend, optional
        An open backend, which is used instead and closed by ``restore()``.

    Returns
    -------
    Accelerated
        Call it as the model; ``restore()``, or leaving a ``with`` block, undoes the swap.

    Raises
    ------
    UsageError
        No layer can run on the accelerator, there is no calibration input, a value is not finite,
        or a name is unknown.
    Unsupported
        A layer does not fit the accelerator.
    ToolMissing
        The backend is not installed.

    Examples
    --------
    >>> import torch, weft
    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    >>> inputs = torch.randn(64, 16)
    >>> with weft.accelerate(model, calibration=[inputs], preset="tiny") as fast:
    ...     fast(inputs).shape
    torch.Size([64, 4])
    """
    config = _config(preset)
    if device is None:
        known_backend(backend)
    quantised = quantise(
        model,
        calibration,
        per_row=per_row,
        migrate=migrate,
        result=result,
        results=results,
        keep_float=keep_float,
        progress=progress,
    )
    if device is None:
        progress(f"opening {backend} {config.name}")
        device = open_backend(backend, config, progress=progress)
    return swap(model, quantised, device)


def _config(preset: str | AcceleratorConfig) -> AcceleratorConfig:
    if isinstance(preset, AcceleratorConfig):
        return preset
    try:
        return preset_of(preset)
    except ConfigError as error:
        raise UsageError(str(error), "see weft presets") from None
