"""The first encoder layer's linear layers of MiniLM, on real activations, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from weft.compiler.graph.matmul import GemmProblem
from weft.compiler.quantise.linear import quantise_linear, signal_to_noise_db
from weft.models import minilm
from weft.results import BESIDE
from weft.runtime.products import constants_of
from weft_hw.config import AcceleratorConfig
from weft_hw.isa import ResultType

from .bench import GemmBench, GemmResult
from .equality import require_equal

__all__ = ["STEPS", "LayerResult", "run"]

#: Steps of a run: the model, the simulator, and the layers.
STEPS = 2 + len(minilm.LAYERS)


@dataclass(frozen=True)
class LayerResult:
    """One linear layer on the RTL. snr_db : how near it is to the float layer."""

    layer: str
    snr_db: float
    measured: GemmResult = field(metadata=BESIDE)
    emulator_exact: bool
    label: Literal["simulated"] = "simulated"


def run(
    config: AcceleratorConfig,
    sentence: str = minilm.SENTENCE,
    weights: Path | None = None,
    *,
    captures: Sequence[minilm.LinearCapture] | None = None,
    on_step: Callable[[int, str], None] = lambda done, text: None,
) -> tuple[list[LayerResult], GemmBench]:
    """Run every layer on the emulator and on the RTL, each compared with torch-int.

    Parameters
    ----------
    config : AcceleratorConfig
    sentence : str
    weights : Path, optional
        Folder of the model; the installed package by default.
    captures : sequence of LinearCapture, optional
        Layers that are run instead of the model's.
    on_step : called with the number of steps done since, and what comes next; see :data:`STEPS`.

    Raises
    ------
    Mismatch
        An element differs; the sentence names layer, tile and element.
    """
    if captures is None:
        on_step(0, "running the sentence through MiniLM in torch")
        captures = minilm.capture(sentence, weights)
    on_step(1, f"opening the RTL simulator of {config.name} (the first build takes minutes)")
    rtl = GemmBench(config, "rtl", progress=lambda text: on_step(0, text))
    emulator = GemmBench(config, "emulator")
    results = []
    for c in captures:
        on_step(1, f"layer {c.name}")
        layer = quantise_linear(c.name, c.weight, c.bias, c.x, c.y, result=c.result)
        m, k = c.x.shape
        problem = GemmProblem(m, k, c.weight.shape[0], ResultType[c.result.upper()])
        constants = constants_of(layer)
        x, scale = layer.quantise(c.x)
        _, by_emulator = emulator.run(problem, constants, x, c.name)
        measured, by_rtl = rtl.run(problem, constants, x, c.name)
        require_equal(
            by_rtl, by_emulator, layer=c.name, config=config, got_name="rtl", want_name="emulator"
        )
        snr = signal_to_noise_db(c.y, layer.real(by_rtl, scale))
        results.append(LayerResult(c.name, snr, measured, True))
    emulator.close()
    return results, rtl
