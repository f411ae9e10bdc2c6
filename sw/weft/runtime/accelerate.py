"""Swaps the linear layers of a torch model for accelerated ones, and back.

Four steps, each a call of its own: :func:`weft.compiler.quantise.model.quantise` (no device),
:func:`weft.backend.opening.open_backend`, :func:`swap`, and running the model. :func:`accelerate`
does the first three. Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from weft.backend.base import Backend
from weft.backend.opening import known_backend, open_backend
from weft.compiler.quantise.choose import Choice
from weft.compiler.quantise.linear import QuantisedLinear
from weft.compiler.quantise.model import QuantisedGraph, quantise
from weft.dram import MemoryModel, memory_of
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig, ConfigError
from weft_hw.config import preset as preset_of

from .session import Session

__all__ = ["Accelerated", "AcceleratedLinear", "accelerate", "swap"]


class _Input:
    """Quantises the tensor that several layers read, once."""

    def __init__(self) -> None:
        self._key: tuple[torch.Tensor, int] | None = None
        self._value: Any = None

    def quantise(self, layer: QuantisedLinear, x: torch.Tensor) -> Any:
        """(integers [M, K], scales [M, 1] or None)."""
        # Under torch.inference_mode() torch does not count changes in place: quantise each time.
        version = -1 if x.is_inference() else x._version
        if self._key is None or self._key[0] is not x or not self._key[1] == version != -1:
            real = x.detach().to("cpu", torch.float32).reshape(-1, x.shape[-1]).numpy()
            if not bool(torch.isfinite(x).all()):
                raise UsageError(
                    f"the input of layer {layer.name!r} holds NaN or infinity",
                    "look for it in the model's input, or keep earlier layers in float",
                )
            self._value = layer.quantise(real)
            self._key = (x, version)
        return self._value

    def forget(self) -> None:
        """Drop the tensor."""
        self._key = self._value = None


class AcceleratedLinear(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A linear layer whose product runs in a :class:`~.session.Session`.

    The host quantises the input and turns the results back into float; there is no gradient.

    Parameters
    ----------
    layer : QuantisedLinear
    session : knows `layer`
    source : quantises the input, for all layers that read it
    """

    def __init__(self, layer: QuantisedLinear, session: Session, source: _Input) -> None:
        super().__init__()
        self._layer, self._session, self._source = layer, session, source
        self.in_features, self.out_features = layer.weights.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Results [..., N] in the dtype and on the device of `x`, [..., K]."""
        if x.shape[-1] != self.in_features:
            raise UsageError(
                f"layer {self._layer.name!r} needs [..., {self.in_features}], not {list(x.shape)}"
            )
        shape = (*x.shape[:-1], self.out_features)
        if not x.numel():
            return x.new_zeros(shape)
        q, scale = self._source.quantise(self._layer, x)
        y = self._layer.real(self._session.run(self._layer.name, q), scale)
        return torch.from_numpy(y).to(x.device, x.dtype).reshape(shape)

    def extra_repr(self) -> str:
        """For ``print(model)``."""
        return f"{self.in_features}, {self.out_features}, {self._session.backend}"


class Accelerated:
    """A model whose linear layers run on an accelerator; restores them when it is left.

    model : the model that was given, changed in place. session : what runs the products, with its
    measurements. choices : one per linear layer of the model, in its order.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        session: Session,
        choices: Sequence[Choice],
        swapped: Mapping[torch.nn.Module, AcceleratedLinear],
        sources: Iterable[_Input],
    ) -> None:
        self.model, self.session, self.choices = model, session, tuple(choices)
        self._sources = list(sources)
        self._places: list[tuple[torch.nn.Module, str, torch.nn.Module]] = []
        for parent in list(model.modules()):
            for name, child in list(parent._modules.items()):  # named_children skips repeats
                if child in swapped:
                    self._places.append((parent, name, child))
                    setattr(parent, name, swapped[child])

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the model without gradients."""
        try:
            with torch.no_grad():
                return self.model(*arguments, **named)
        finally:
            for source in self._sources:
                source.forget()

    def restore(self) -> torch.nn.Module:
        """Put the float layers back and close the session; calling it again does nothing."""
        for parent, name, linear in self._places:
            setattr(parent, name, linear)
        self._places = []
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
) -> Accelerated:
    """Let the layers of `model` that `quantised` holds run on `device`, in place.

    Parameters
    ----------
    quantised : of this model
    device : an open backend, closed by ``restore()``, or here where an error is raised
    memory : the DRAM that schedules are chosen for; that of the board of the device's configuration
        by default.

    Raises
    ------
    UsageError
        `model` has no such layer.
    Unsupported
        A layer does not fit the accelerator; the model is left as it was.
    """
    linears = dict(model.named_modules())
    swapped: dict[torch.nn.Module, AcceleratedLinear] = {}
    sources = []
    with ExitStack() as undo:
        undo.callback(device.close)
        session = Session(device, memory or memory_of(device.config))
        for names in quantised.groups:
            source = _Input()
            sources.append(source)
            for name in names:
                linear = linears.get(name)
                if not isinstance(linear, torch.nn.Linear):
                    raise UsageError(
                        f"{type(model).__name__} has no linear layer {name!r}",
                        "give the model that was quantised",
                    )
                layer = quantised.layers[name]
                session.add(name, layer.graph)
                swapped[linear] = AcceleratedLinear(layer, session, source)
        undo.pop_all()
    return Accelerated(model, session, quantised.choices, swapped, sources)


def accelerate(
    model: torch.nn.Module,
    *,
    calibration: Iterable[Any],
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
    """Swap the ``nn.Linear`` layers of `model` for accelerated ones, in place.

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
        There is no linear layer, no calibration input, a value is not finite, or a name is unknown.
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
