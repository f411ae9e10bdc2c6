"""Quantise the linear layers of a torch model: no device, no accelerator, only real inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weft.compiler.frontend.linears import (
    FloatLinear,
    checksum,
    float_linear,
    linear_layers,
    matching,
    sizes,
    why_not,
)
from weft.compiler.frontend.observe import observe
from weft.errors import AccuracyWarning, UsageError
from weft.tools import require

from .choose import LOW_SNR_DB, Choice, Scheme, on_host, quantise_group
from .linear import QuantisedLinear

if TYPE_CHECKING:
    import torch

__all__ = ["NOT_CALLED", "QuantisedGraph", "coverage", "quantise"]

#: Why a layer stays on the host that has products of its own but was never called as a module.
NOT_CALLED = "not called by the calibration"


@dataclass(frozen=True, eq=False)
class QuantisedGraph:
    """What a model becomes in integers.

    layers : by the name of the module; each has a graph, and says how the host's reals meet it.
    groups : names of layers that read the same tensor, so that the host may quantise it once.
    choices : one per linear layer of the model, in its order: where it runs, and why. checksums :
    of the float weights that the integers were made from. samples : arguments and keywords of
    inputs that call every layer; macs : of the first one in the whole model, by operator of torch.
    """

    layers: Mapping[str, QuantisedLinear]
    groups: tuple[tuple[str, ...], ...]
    choices: tuple[Choice, ...]
    checksums: Mapping[str, int]
    samples: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    macs: Mapping[str, int]

    @property
    def coverage(self) -> float:
        """Share of the model's multiplications that is meant for the accelerator, 0..1."""
        return coverage(self.choices, self.macs)

    def __str__(self) -> str:
        return "\n".join(str(layer.graph) for layer in self.layers.values())


def coverage(choices: Sequence[Choice], macs: Mapping[str, int]) -> float:
    """Share of all `macs`, by operator, that `choices` give to the accelerator, 0..1."""
    mine = sum(c.macs or 0 for c in choices if c.where == "accelerator")
    return mine / max(sum(macs.values()), mine, 1)


def quantise(
    model: torch.nn.Module,
    calibration: Any,
    *,
    per_row: bool = False,
    migrate: bool = True,
    result: str | None = None,
    results: Mapping[str, str] | None = None,
    keep_float: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> QuantisedGraph:
    """Quantise the linear layers of `model`, which is left as it is.

    These are ``nn.Linear`` and the ``Conv1D`` of transformers. A subclass with a forward pass of
    its own, and a layer whose weights are no plain floats, stay on the host; choices say so.

    Parameters
    ----------
    model : torch.nn.Module
        Layers that the calibration never calls stay in float.
    calibration : iterable
        Real inputs: a mapping is given as keywords, a tuple as arguments, a tensor or array as the
        argument; a list, as a DataLoader gives it, as arguments, or without its labels where the
        model takes one argument. A tensor, an array or a mapping instead is one input.
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
        No linear layer can run on the accelerator, there is no calibration input, one is not clear,
        a value is not finite, or a name is unknown.
    ToolMissing
        torch is not installed.

    Warns
    -----
    AccuracyWarning
        Layers with a signal to noise under LOW_SNR_DB, by name.
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
    reasons = {name: why_not(linear) for name, linear in linears.items()}
    reasons |= dict.fromkeys(kept, "kept in float as asked for")
    progress("calibrating")
    observed = observe(model, {n: m for n, m in linears.items() if not reasons[n]}, calibration)
    seen = observed.layers
    groups: dict[int, list[str]] = {}
    choices: dict[str, Choice] = {}
    for name, linear in linears.items():
        if name in seen:
            groups.setdefault(seen[name].group, []).append(name)
            continue
        choices[name] = on_host(name, *sizes(linear), reasons[name] or NOT_CALLED)
    layers: dict[str, QuantisedLinear] = {}
    for members in groups.values():
        floats: dict[str, FloatLinear] = {n: float_linear(linears[n]) for n in members}
        for layer, choice in quantise_group(floats, seen, scheme, asked):
            choices[choice.layer] = choice
            if layer is not None:
                layers[layer.name] = layer
    if not layers and set(kept) != set(names):
        some = [f"{c.layer or 'the model'}: {c.reason}" for c in list(choices.values())[:3]]
        raise UsageError(
            f"no linear layer of {type(model).__name__} can run on the accelerator: "
            + "; ".join(some),
            "its products run in torch, without Weft",
        )
    quantised = QuantisedGraph(
        layers=layers,
        groups=tuple(g for g in (tuple(n for n in m if n in layers) for m in groups.values()) if g),
        choices=tuple(choices[name] for name in linears),
        checksums={name: checksum(linears[name]) for name in layers},
        samples=observed.samples,
        macs=observed.macs,
    )
    _warn_of_noise(quantised.choices)
    return quantised


def _warn_of_noise(choices: Sequence[Choice]) -> None:
    noisy = [c for c in choices if c.snr_db is not None and c.snr_db < LOW_SNR_DB]
    if noisy:
        listed = ", ".join(f"{c.layer!r} {c.snr_db:.1f} dB" for c in noisy)
        warnings.warn(
            f"signal to noise is under {LOW_SNR_DB:.0f} dB in {len(noisy)} of {len(choices)} "
            f"layers: {listed}; keep them in float (keep_float), give per_row=True or wider "
            "results, or calibrate on inputs that are like those to come",
            AccuracyWarning,
            stacklevel=3,
        )
