"""Times of the float model in torch, on the host or on a GPU, and figures stored from GPUs."""

from __future__ import annotations

import copy
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.models import minilm
from weft.models.sentence import SentenceModel, pool

__all__ = ["CUDA_VARIANTS", "TorchTime", "driver_version", "measure", "stored"]

#: Ways to run the float model on a GPU: element type and whether kernels are launched as one graph.
CUDA_VARIANTS = tuple(
    (dtype, way) for dtype in ("float32", "float16") for way in ("eager", "graph")
)
WARM_UPS = 3


@dataclass(frozen=True)
class TorchTime:
    """Medians in milliseconds: the model on its device, and moving inputs and vectors.

    vectors : float32 [texts, hidden].
    """

    device: str
    model_ms: float
    transfer_ms: float
    vectors: NDArray[np.float32]


def measure(
    model: SentenceModel,
    inputs: dict[str, Any],
    device: str = "cpu",
    dtype: str = "float32",
    way: str = "eager",
    repeats: int = 5,
) -> TorchTime:
    """Run `inputs`, a batch, `repeats` times after a warm-up.

    Parameters
    ----------
    device : a torch device
    dtype : "float32" or "float16"
    way : "eager" or "graph"
        A graph needs CUDA; elsewhere the same buffers are used and the kernels launched one by one.
    """
    import torch

    cuda = device.startswith("cuda")
    kind = getattr(torch, dtype)
    with minilm.quiet():
        moved = copy.deepcopy(model.model).to(device, kind)
    buffers = {name: tensor.to(device) for name, tensor in inputs.items()}

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    with torch.no_grad():
        run: Callable[[], Any] = lambda: pool(moved, buffers)  # noqa: E731
        for _ in range(WARM_UPS):
            run()
        wait()
        if way == "graph" and cuda:
            run = _graph(run)
        times: list[tuple[float, float]] = []
        for _ in range(repeats):
            start = time.perf_counter()
            for name, tensor in inputs.items():
                buffers[name].copy_(tensor)
            wait()
            ready = time.perf_counter()
            vectors = run()
            wait()
            done = time.perf_counter()
            result = vectors.to("cpu", torch.float32)
            end = time.perf_counter()
            times.append((done - ready, ready - start + end - done))
    model_ms, transfer_ms = (1000 * statistics.median(t[i] for t in times) for i in (0, 1))
    name = torch.cuda.get_device_name(device) if cuda else device
    return TorchTime(name, model_ms, transfer_ms if cuda else 0.0, result.numpy())


def _graph(run: Callable[[], Any]) -> Callable[[], Any]:
    """The kernels of `run` as one CUDA graph."""
    import torch

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = run()

    def replay() -> Any:
        graph.replay()
        return out

    return replay


def driver_version() -> str:
    """Version of the NVIDIA driver, or "unknown"."""
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.splitlines()[0].strip() or "unknown"


def stored() -> list[dict[str, Any]]:
    """Results of earlier GPU runs, with device, driver and date, as the package carries them."""
    text = files("weft.models").joinpath("gpu.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found
