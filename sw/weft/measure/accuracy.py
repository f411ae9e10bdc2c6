"""A compiled model beside the float one on a user's own data: answers, and noise layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from weft.compiler.frontend.export import check_inputs
from weft.compiler.graph.network import Network
from weft.compiler.graph.parts import with_all_outputs
from weft.compiler.graph.reference import TorchInt
from weft.compiler.graph.scale import Scale
from weft.errors import UsageError
from weft.results import Count
from weft.runtime.compile import Planned
from weft.runtime.compiled import CompiledModel, RunningModel

__all__ = ["LayerNoise", "NetworkEvaluation", "evaluate_network"]

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerNoise:
    """What one layer's results are worth. snr_db : of its integers against the float model, errors
    of the layers before it included; null where they are equal, or nothing but zeros."""

    name: str
    op: str
    snr_db: float | None


@dataclass(frozen=True)
class NetworkEvaluation:
    """A model in float32 and in int8 on the same examples.

    examples : how many. accuracy, float_accuracy : right answers, where there are labels.
    top1_agreement : share of examples in which the largest output is the same one. cosine_mean,
    cosine_min : between outputs. max_error : largest difference of an output. snr_db : of all
    outputs; null where they are equal. layers : worst first, over layer_examples examples.
    """

    model: str
    backend: str
    examples: Count
    accuracy: float | None
    float_accuracy: float | None
    top1_agreement: float
    cosine_mean: float
    cosine_min: float
    max_error: float
    snr_db: float | None
    layer_examples: Count
    layers: list[LayerNoise]


class _Noise:
    """Sums of squares of a signal, and of what differs from it."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def add(self, want: Array, got: Array) -> None:
        self.signal += float(np.sum(np.asarray(want, np.float64) ** 2))
        self.noise += float(np.sum((np.asarray(got, np.float64) - want) ** 2))

    @property
    def db(self) -> float | None:
        if not self.noise or not self.signal:
            return None
        return float(10 * np.log10(self.signal / self.noise))


class _Recorder(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a graph of torch, and keeps the values of some of its nodes."""

    def __init__(self, module: torch.fx.GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self.names, self.values = names, dict[str, Array]()

    def run_node(self, n: torch.fx.Node) -> Any:
        found = super().run_node(n)
        if n.name in self.names:
            self.values[n.name] = np.array(found.detach().cpu().numpy())
        return found


def evaluate_network(
    name: str,
    planned: Planned,
    model: CompiledModel,
    running: RunningModel,
    floats: torch.fx.GraphModule,
    sources: Mapping[str, str],
    batches: Iterable[Any],
    *,
    layer_examples: int = 16,
    on_example: Callable[[int], None] = lambda n: None,
) -> NetworkEvaluation:
    """Run all examples on the backend of `running` and in float, and compare.

    Parameters
    ----------
    floats : the float model as a graph
    sources : value of the network that is int8 -> name of the node of `floats` that it stands for
    batches : of inputs, or (inputs, labels); labels are integers [B]
    layer_examples : how many examples are compared layer by layer

    Raises
    ------
    UsageError
        There is no example, or labels are no integers of the batch's length.
    """
    ports = model.artefact.inputs
    noise = _LayerNoise(planned, model, sources)
    recorder = _Recorder(floats, {*sources.values()})
    total, count = _Noise(), 0
    cosines: list[float] = []
    same: list[bool] = []
    right: list[tuple[bool, bool]] = []
    worst = 0.0
    for inputs, labels in _examples(batches, len(ports)):
        count += 1
        is_inside = count <= layer_examples
        running.on_program = noise.keep if is_inside else None
        arrays = {port.name: x.numpy() for port, x in zip(ports, inputs)}
        got = next(iter(running.run(arrays).values()))
        with torch.no_grad():
            result = recorder.run(*inputs)
        want = _first(result).numpy()
        if is_inside:
            noise.compare(recorder.values)
        a, b = want.reshape(-1).astype(np.float64), got.reshape(-1).astype(np.float64)
        total.add(a, b)
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        cosines.append(float(a @ b) / size if size else 1.0)
        same.append(int(a.argmax()) == int(b.argmax()))
        worst = max(worst, float(np.abs(a - b).max()))
        if labels is not None:
            right.append((int(a.argmax()) == labels, int(b.argmax()) == labels))
        on_example(count)
    running.on_program = None
    if not count:
        raise UsageError("there is no example to evaluate", "give some by --data")
    labelled = len(right) == count
    return NetworkEvaluation(
        model=name,
        backend=running.device.name if running.device is not None else "host",
        examples=count,
        accuracy=sum(b for _, b in right) / count if labelled else None,
        float_accuracy=sum(a for a, _ in right) / count if labelled else None,
        top1_agreement=sum(same) / count,
        cosine_mean=float(np.mean(cosines)),
        cosine_min=min(cosines),
        max_error=worst,
        snr_db=total.db,
        layer_examples=min(count, layer_examples),
        layers=noise.results(),
    )


def _first(result: Any) -> torch.Tensor:
    while isinstance(result, (tuple, list)):
        result = result[0]
    found: torch.Tensor = result
    return found


def _examples(
    batches: Iterable[Any], count: int
) -> Iterable[tuple[tuple[torch.Tensor, ...], int | None]]:
    """(inputs of a batch of one, its label) of every example."""
    for batch in batches:
        parts: Sequence[Any] = (batch,) if isinstance(batch, torch.Tensor) else tuple(batch)
        inputs = check_inputs("inputs", parts[:count])
        labels = parts[count] if len(parts) > count else None
        if labels is not None:
            labels = torch.as_tensor(labels)
            if labels.shape != (len(inputs[0]),) or labels.is_floating_point():
                raise UsageError(
                    f"labels must be {len(inputs[0])} integers, not {labels.dtype} "
                    f"{list(labels.shape)}"
                )
        for i in range(len(inputs[0])):
            yield tuple(x[i : i + 1] for x in inputs), None if labels is None else int(labels[i])


class _LayerNoise:
    """Integers of every layer on chip beside the reals that they stand for."""

    def __init__(
        self, planned: Planned, model: CompiledModel, sources: Mapping[str, str]
    ) -> None:
        self.network: Network = planned.network
        self.model, self.sources = model, sources
        self.reference = TorchInt()
        self.noise: dict[str, _Noise] = {}
        self.integers: dict[str, Array] = {}

    def keep(self, index: int, given: Mapping[str, Array], got: Mapping[str, Array]) -> None:
        """All tensors of a program, by the names of layers."""
        every, _ = self.reference.run(with_all_outputs(self.model.graphs[index]), given)
        self.integers |= every

    def compare(self, reals: Mapping[str, Array]) -> None:
        """Add what the integers that were kept differ from the reals."""
        for op in self.network.operators:
            if not op.on_chip or self.sources.get(op.output) not in reals:
                continue
            value = self.network.values[op.output]
            assert isinstance(value.scale, Scale)
            got = value.scale.real(self.integers[op.name])
            if len(value.shape) == 4:
                got = got.transpose(2, 0, 1)
            want = reals[self.sources[op.output]]
            self.noise.setdefault(op.name, _Noise()).add(want, got.reshape(want.shape))

    def results(self) -> list[LayerNoise]:
        """Worst first."""
        ops = {op.name: op.op for op in self.network.operators}
        found = [LayerNoise(name, ops[name], noise.db) for name, noise in self.noise.items()]
        return sorted(found, key=lambda one: np.inf if one.snr_db is None else one.snr_db)
