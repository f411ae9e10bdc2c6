"""Swaps the linear layers of a torch model for accelerated ones, and back.

Importing this module imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch

from weft.backend.base import Backend
from weft.compiler.frontend.observe import Observation, observe
from weft.compiler.quantise.choose import Choice, FloatLinear, Scheme, quantise_group
from weft.compiler.quantise.linear import QuantisedLinear
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig, ConfigError
from weft_hw.config import preset as preset_of

from .products import Engine

__all__ = ["Accelerated", "AcceleratedLinear", "accelerate"]


class _Input:
    """Quantises the tensor that several layers read, once."""

    def __init__(self) -> None:
        self._key: tuple[torch.Tensor, int] | None = None
        self._value: Any = None

    def quantise(self, layer: QuantisedLinear, x: torch.Tensor) -> Any:
        """(integers [M, K], scales [M, 1] or None)."""
        if self._key is None or self._key[0] is not x or self._key[1] != x._version:
            real = x.detach().to("cpu", torch.float32).reshape(-1, x.shape[-1]).numpy()
            if not bool(torch.isfinite(x).all()):
                raise UsageError(
                    f"the input of layer {layer.name!r} holds NaN or infinity",
                    "look for it in the model's input, or keep earlier layers in float",
                )
            self._value = layer.quantise(real)
            self._key = (x, x._version)
        return self._value

    def forget(self) -> None:
        """Drop the tensor."""
        self._key = self._value = None


class AcceleratedLinear(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A linear layer whose product runs on an :class:`~weft.runtime.products.Engine`.

    The host quantises the input and turns the results back into float; there is no gradient.

    Parameters
    ----------
    linear : the layer that it stands for, kept for :meth:`Accelerated.restore`
    layer : QuantisedLinear
    engine : knows `layer`
    """

    def __init__(
        self, linear: torch.nn.Linear, layer: QuantisedLinear, engine: Engine, source: _Input
    ) -> None:
        super().__init__()
        # In a tuple, so that the float weights are no parameters of this module.
        self._linear = (linear,)
        self._layer, self._engine, self._source = layer, engine, source
        self.in_features, self.out_features = linear.in_features, linear.out_features

    @property
    def linear(self) -> torch.nn.Linear:
        """The float layer."""
        return self._linear[0]

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
        y = self._layer.real(self._engine.run(self._layer.name, q), scale)
        return torch.from_numpy(y).to(x.device, x.dtype).reshape(shape)

    def extra_repr(self) -> str:
        """For ``print(model)``."""
        return f"{self.in_features}, {self.out_features}, {self._engine.backend}"


class Accelerated:
    """A model whose linear layers run on an accelerator; restores them when it is left.

    model : the model that was given, changed in place. engine : what runs the products, with its
    measurements. choices : one per linear layer of the model, in its order.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        engine: Engine,
        choices: Sequence[Choice],
        swapped: Mapping[str, AcceleratedLinear],
        sources: Iterable[_Input],
    ) -> None:
        self.model, self.engine, self.choices = model, engine, tuple(choices)
        self._sources = list(sources)
        self._places: list[tuple[torch.nn.Module, str, torch.nn.Linear]] = []
        by_linear = {id(new.linear): new for new in swapped.values()}
        for parent in list(model.modules()):
            for name, child in list(parent._modules.items()):  # named_children skips repeats
                if id(child) in by_linear and isinstance(child, torch.nn.Linear):
                    self._places.append((parent, name, child))
                    setattr(parent, name, by_linear[id(child)])

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the model without gradients."""
        try:
            with torch.no_grad():
                return self.model(*arguments, **named)
        finally:
            for source in self._sources:
                source.forget()

    def restore(self) -> torch.nn.Module:
        """Put the float layers back and close the engine; calling it again does nothing."""
        for parent, name, linear in self._places:
            setattr(parent, name, linear)
        self._places = []
        self.engine.close()
        return self.model

    def __enter__(self) -> Accelerated:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()


def accelerate(
    model: torch.nn.Module,
    *,
    calibration: Iterable[Any],
    preset: str | AcceleratorConfig = "pynq-z2",
    backend: str = "emulator",
    device: Backend | None = None,
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
    model : torch.nn.Module
        Left in its mode; layers that the calibration never calls stay in float.
    calibration : iterable
        Real inputs: a mapping is given as keywords, a tuple as arguments, else one argument.
    preset : name of a preset, or a configuration
    backend : "emulator", "rtl", "pynq" or "torch-int"
        "pynq" is the board that ``$WEFT_BOARD`` and ``$WEFT_OVERLAY`` name.
    device : Backend, optional
        An open backend, for example :class:`weft.backend.pynq.process.PynqProcess`, which is used
        instead and closed by ``restore()``.
    per_row : bool
        A scale for each row of activations, found at run time; results are int32.
    migrate : bool
        Let the weights take a part of the spread between input channels where that helps.
    result : "int8", "int16" or "int32", optional
        For all layers; by default int8, or int16 where an output channel dwarfs the others.
    results : mapping, optional
        Result types of layers by name or pattern (``*.output.dense``).
    keep_float : sequence of str
        Names or patterns of layers that stay on the host.
    progress : callable
        Told in words what happens.

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
    scheme = Scheme(per_row, migrate, result)
    linears = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    if not linears:
        raise UsageError(
            f"{type(model).__name__} has no nn.Linear layer, so there is nothing to accelerate",
            "give a model with linear layers",
        )
    kept = _matching(linears, keep_float, "keep_float")
    asked: dict[str, str] = {}
    for pattern, kind in (results or {}).items():
        Scheme(result=kind)
        asked |= dict.fromkeys(_matching(linears, [pattern], "results"), kind)
    progress("calibrating")
    seen = observe(model, {n: m for n, m in linears.items() if n not in kept}, calibration)
    progress(f"opening {backend} {config.name}")
    engine = Engine(config, backend, device=device, progress=progress)
    try:
        swapped, choices, sources = _quantise(linears, kept, seen, scheme, asked, engine)
    except BaseException:
        engine.close()
        raise
    return Accelerated(model, engine, choices, swapped, sources)


def _config(preset: str | AcceleratorConfig) -> AcceleratorConfig:
    if isinstance(preset, AcceleratorConfig):
        return preset
    try:
        return preset_of(preset)
    except ConfigError as error:
        raise UsageError(str(error), "see weft presets") from None


def _matching(
    linears: Mapping[str, torch.nn.Linear], patterns: Sequence[str], what: str
) -> dict[str, str]:
    """Layer -> the pattern that names it; a pattern that names none is refused."""
    found: dict[str, str] = {}
    for pattern in patterns:
        names = [n for n in linears if fnmatchcase(n, pattern)]
        if not names:
            near = difflib.get_close_matches(pattern, linears, 3, 0.3) or list(linears)[:3]
            raise UsageError(
                f"{what}: no linear layer is called {pattern!r}", f"there are {', '.join(near)}"
            )
        found |= dict.fromkeys(names, pattern)
    return found


def _quantise(
    linears: Mapping[str, torch.nn.Linear],
    kept: Mapping[str, str],
    seen: Mapping[str, Observation],
    scheme: Scheme,
    asked: Mapping[str, str],
    engine: Engine,
) -> tuple[dict[str, AcceleratedLinear], list[Choice], list[_Input]]:
    groups: dict[int, list[str]] = {}
    choices: dict[str, Choice] = {}
    for name, linear in linears.items():
        if name in seen:
            groups.setdefault(seen[name].group, []).append(name)
            continue
        reason = "kept in float as asked for" if name in kept else "not called by the calibration"
        choices[name] = Choice(
            *(name, linear.in_features, linear.out_features, "host", reason),
            *("float32", False, "float32", None, None),
        )
    swapped, sources = {}, []
    for names in groups.values():
        source = _Input()
        sources.append(source)
        floats = {
            n: FloatLinear(
                linears[n].weight.detach().float().cpu().numpy(),
                None if linears[n].bias is None else linears[n].bias.detach().float().cpu().numpy(),
            )
            for n in names
        }
        for layer, choice in quantise_group(floats, seen, scheme, asked):
            engine.add(layer)
            swapped[layer.name] = AcceleratedLinear(linears[layer.name], layer, engine, source)
            choices[layer.name] = choice
    return swapped, [choices[name] for name in linears], sources
