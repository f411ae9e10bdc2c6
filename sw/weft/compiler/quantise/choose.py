"""How each linear layer is quantised: migration, result type, and the noise that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from weft.compiler.frontend.linears import FloatLinear
from weft.compiler.frontend.observe import Observation
from weft.errors import Unsupported, UsageError
from weft.results import Count, Rule

from .linear import (
    QuantisedLinear,
    integer_linear,
    migration_factors,
    quantise_to,
    signal_to_noise_db,
)
from .ranges import affine_range

__all__ = ["ALPHA", "LOW_SNR_DB", "OUTLIERS", "Choice", "Scheme", "on_host", "quantise_group"]

#: Share of the spread between input channels that a migration gives to the weights.
ALPHA = 0.5
#: Largest output channel over the median one, above which int8 results are too coarse.
OUTLIERS = 16.0
#: Signal to noise below which a layer is named in a warning.
LOW_SNR_DB = 15.0


@dataclass(frozen=True)
class Scheme:
    """How layers are quantised unless they are named otherwise.

    per_row : a scale for each row of activations, found at run time, and int32 results; else one
    range per tensor from the calibration. migrate : consider migrations. result : result type of
    all layers; None chooses int8, or int16 where channels differ by more than OUTLIERS.
    """

    per_row: bool = False
    migrate: bool = True
    result: str | None = None

    def __post_init__(self) -> None:
        if self.result not in (None, "int8", "int16", "int32"):
            raise UsageError(f"result must be int8, int16 or int32, not {self.result!r}")


@dataclass(frozen=True)
class Choice:
    """One layer: where it runs, why, and how it is quantised.

    migration : the host scales the channels of the input. output_spread : largest output channel
    over the median one. snr_db : on inputs of the calibration; None on the host. macs : of this
    layer in the first input of the calibration.
    """

    layer: str
    k: Count
    n: Count
    where: Literal["accelerator", "host"]
    reason: str
    scheme: Literal["static", "per-row", "float32"]
    migration: bool
    result: Annotated[str, Rule(enum=["int8", "int16", "int32", "float32"])]
    output_spread: float | None
    snr_db: float | None
    macs: Count | None = None


def on_host(name: str, k: int, n: int, reason: str, macs: int | None = None) -> Choice:
    """The choice for a layer that stays in torch."""
    return Choice(
        layer=name,
        k=k,
        n=n,
        where="host",
        reason=reason,
        scheme="float32",
        migration=False,
        result="float32",
        output_spread=None,
        snr_db=None,
        macs=macs,
    )


def quantise_group(
    layers: Mapping[str, FloatLinear],
    seen: Mapping[str, Observation],
    scheme: Scheme,
    results: Mapping[str, str],
) -> list[tuple[QuantisedLinear | None, Choice]]:
    """Quantise layers that read the same tensor, which the host then quantises once.

    Parameters
    ----------
    layers, seen : by name, the same names
    results : result types that were asked for, by name

    A migration is taken where it raises the mean signal to noise of the layers before their results
    are narrowed. A layer whose sums could pass int32 stays on the host: None, and its choice.
    """
    made: list[tuple[QuantisedLinear | None, Choice]] = []
    fitting = {}
    for name, f in layers.items():
        try:
            _wide(name, f, seen[name], scheme, None)
            fitting[name] = f
        except Unsupported as error:
            n, k = f.weight.shape
            reason = error.message.split(": ", 1)[1]
            made.append((None, on_host(name, k, n, reason, seen[name].macs)))
    layers = fitting
    if not layers:
        return made
    first = seen[next(iter(layers))]
    x_peak = first.x_peak
    factors: NDArray[np.float64] | None = None
    if scheme.migrate:
        w_peak = np.max([np.max(np.abs(f.weight), axis=0) for f in layers.values()], axis=0)
        factors = migration_factors(x_peak, w_peak, ALPHA)
        plain, migrated = (
            np.mean(
                [
                    _noise(_wide(name, f, seen[name], scheme, s), f, seen[name].x)
                    for name, f in layers.items()
                ]
            )
            for s in (None, factors)
        )
        if migrated <= plain:
            factors = None
    for name, f in layers.items():
        spread, result, reason = _result(name, seen[name], scheme, results)
        layer = _wide(name, f, seen[name], scheme, factors)
        if result != "int32":
            y = np.stack([seen[name].y_low, seen[name].y_high])
            narrow = result == "int8"
            target = affine_range(y) if narrow else affine_range(y, 16, symmetric=True)
            layer = quantise_to(
                name=name,
                weight=f.weight,
                bias=f.bias,
                source=layer.input,
                target=target,
                result=result,
                factors=factors,
            )
        n, k = f.weight.shape
        made.append(
            (
                layer,
                Choice(
                    layer=name,
                    k=k,
                    n=n,
                    where="accelerator",
                    reason=reason,
                    scheme="per-row" if scheme.per_row else "static",
                    migration=factors is not None,
                    result=result,
                    output_spread=spread,
                    snr_db=_noise(layer, f, seen[name].x),
                    macs=seen[name].macs,
                ),
            )
        )
    return made


def _result(
    name: str, seen: Observation, scheme: Scheme, results: Mapping[str, str]
) -> tuple[float, str, str]:
    """(spread of the output channels, result type, why)."""
    peaks = np.maximum(np.abs(seen.y_low), np.abs(seen.y_high))
    spread = float(np.max(peaks) / (float(np.median(peaks)) or float(np.max(peaks)) or 1.0))
    if scheme.per_row:
        return spread, "int32", "scales of rows are applied on the host"
    asked = results.get(name, scheme.result)
    if asked is not None:
        return spread, asked, "as asked for"
    if spread > OUTLIERS:
        return spread, "int16", f"one output channel reaches {spread:.0f} times the median"
    return spread, "int8", "output channels are alike"


def _wide(
    name: str,
    layer: FloatLinear,
    seen: Observation,
    scheme: Scheme,
    factors: NDArray[np.float64] | None,
) -> QuantisedLinear:
    """The layer with int32 results."""
    source = None
    if not scheme.per_row:
        extremes: Sequence[NDArray[Any]] = (seen.x_low, seen.x_high)
        source = affine_range(np.stack([e if factors is None else e / factors for e in extremes]))
    return quantise_to(
        name, layer.weight, layer.bias, source, None, result="int32", factors=factors
    )


def _noise(layer: QuantisedLinear, real: FloatLinear, x: NDArray[np.float32]) -> float:
    want = x.astype(np.float64) @ real.weight.T.astype(np.float64)
    if real.bias is not None:
        want = want + real.bias
    q, scale = layer.quantise(x)
    return signal_to_noise_db(want, layer.real(integer_linear(layer, q), scale))
