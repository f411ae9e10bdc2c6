"""Quantise the linear layers of a torch model: no device, no accelerator, only real inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.compiler.frontend.linears import FloatLinear, float_linear, linear_layers, matching
from weft.compiler.frontend.observe import observe
from weft.tools import require

from .choose import Choice, Scheme, quantise_group
from .linear import QuantisedLinear

if TYPE_CHECKING:
    import torch

__all__ = ["QuantisedGraph", "quantise"]


@dataclass(frozen=True, eq=False)
class QuantisedGraph:
    """What a model becomes in integers.

    layers : by the name of the module; each has a graph, and says how the host's reals meet it.
    groups : names of layers that read the same tensor, which the host quantises once.
    choices : one per linear layer of the model, in its order: where it runs, and why.
    """

    layers: Mapping[str, QuantisedLinear]
    groups: tuple[tuple[str, ...], ...]
    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        return "\n".join(str(layer.graph) for layer in self.layers.values())


def quantise(
    model: torch.nn.Module,
    calibration: Iterable[Any],
    *,
    per_row: bool = False,
    migrate: bool = True,
    result: str | None = None,
    results: Mapping[str, str] | None = None,
    keep_float: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> QuantisedGraph:
    """Quantise the ``nn.Linear`` layers of `model`, which is left as it is.

    Parameters
    ----------
    model : torch.nn.Module
        Layers that the calibration never calls stay in float.
    calibration : iterable
        Real inputs: a mapping is given as keywords, a tuple as arguments, else one argument.
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

    Raises
    ------
    UsageError
        There is no linear layer, no calibration input, a value is not finite, or a name is unknown.
    ToolMissing
        torch is not installed.
    """
    require("torch", what="quantising a model")
    scheme = Scheme(per_row, migrate, result)
    linears = linear_layers(model)
    names = list(linears)
    kept = matching(names, keep_float, "keep_float")
    asked: dict[str, str] = {}
    for pattern, kind in (results or {}).items():
        Scheme(result=kind)
        asked |= dict.fromkeys(matching(names, [pattern], "results"), kind)
    progress("calibrating")
    seen = observe(model, {n: m for n, m in linears.items() if n not in kept}, calibration)
    groups: dict[int, list[str]] = {}
    choices: dict[str, Choice] = {}
    for name, linear in linears.items():
        if name in seen:
            groups.setdefault(seen[name].group, []).append(name)
            continue
        asked_for = "kept in float as asked for"
        choices[name] = Choice(
            layer=name,
            k=linear.in_features,
            n=linear.out_features,
            where="host",
            reason=asked_for if name in kept else "not called by the calibration",
            scheme="float32",
            migration=False,
            result="float32",
            output_spread=None,
            snr_db=None,
        )
    layers: dict[str, QuantisedLinear] = {}
    for members in groups.values():
        floats: dict[str, FloatLinear] = {n: float_linear(linears[n]) for n in members}
        for layer, choice in quantise_group(floats, seen, scheme, asked):
            layers[layer.name], choices[layer.name] = layer, choice
    return QuantisedGraph(
        layers=layers,
        groups=tuple(map(tuple, groups.values())),
        choices=tuple(choices[name] for name in linears),
    )
