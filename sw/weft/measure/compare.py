"""The same sentences on every backend: what ran where, how long, and how near to float."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from weft.backend.opening import BACKENDS as DEVICES
from weft.backend.opening import Where, open_backend
from weft.backend.pynq.process import PynqProcess
from weft.compiler.quantise.model import QuantisedGraph
from weft.errors import DeviceError, ToolMissing, UsageError
from weft.models.sentence import SentenceModel
from weft.results import Count
from weft.runtime.session import GemmRun
from weft_hw.config import AcceleratorConfig

from . import host as timing
from .equality import describe_difference, require_exact

__all__ = ["BACKENDS", "BackendResult", "compare"]

#: All that can be compared.
BACKENDS = (*DEVICES, "torch-cpu", "torch-cuda")
Label = Literal["simulated", "estimated", "measured", "stored", "absent"]


@dataclass(frozen=True)
class BackendResult:
    """One backend on one batch; a field is None where there is no such thing.

    label : cycles of the RTL or predicted ones, times of `device` or `host`, or none.
    reason : why a backend is absent. scope : what accelerator_ms covers. accelerator_ms : cycles /
    clock, or the model on a GPU. host_ms : torch and quantisation on `host`. transfer_ms : between
    the memories of host and GPU. end_to_end_ms : their sum; null unless all parts belong to one
    machine. attainment : roofline / cycles over all products. cosine_mean, cosine_min : over the
    texts, to float32 on the CPU. exact : every result of every product equals torch-int.
    difference : the first element that differs from torch-int. gemms : products.
    """

    backend: str
    label: Label
    variant: str | None = None
    reason: str | None = None
    scope: str | None = None
    accelerator_ms: float | None = None
    host_ms: float | None = None
    host: str | None = None
    transfer_ms: float | None = None
    end_to_end_ms: float | None = None
    cycles: Count | None = None
    predicted_cycles: Count | None = None
    roofline_cycles: float | None = None
    attainment: float | None = None
    bytes_read: Count | None = None
    bytes_written: Count | None = None
    cosine_mean: float | None = None
    cosine_min: float | None = None
    exact: bool | None = None
    difference: str | None = None
    texts: Count | None = None
    tokens: Count | None = None
    gemms: Count | None = None
    device: str | None = None
    driver: str | None = None
    date: str | None = None


def _total(runs: Sequence[GemmRun], name: str) -> int | None:
    """Sum of a field; None where a run lacks it."""
    values = [getattr(r, name) for r in runs]
    return None if any(v is None for v in values) else sum(values)


@dataclass
class _Comparison:
    """The batch, the integers of its model, and two references: float32 and torch-int."""

    model: SentenceModel
    texts: Sequence[str]
    config: AcceleratorConfig
    host: str
    scheme: str
    keep_float: Sequence[str]
    board: Where | None
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.tokens = sum(self.model.tokens(self.texts))
        self.inputs = self.model.batch(self.texts)
        self.say("torch-cpu float32")
        self.cpu = timing.measure(self.model, self.inputs)
        self.wanted: dict[str, NDArray[Any]] | None = None

    @cached_property
    def quantised(self) -> QuantisedGraph:
        """The linear layers in integers: the same ones on every backend."""
        self.say("calibrating")
        return self.model.quantise(self.scheme, self.keep_float)

    def _shared(self, vectors: NDArray[np.float32]) -> dict[str, Any]:
        cosine = (vectors * self.cpu.vectors).sum(axis=1)
        return {
            "cosine_mean": float(cosine.mean()),
            "cosine_min": float(cosine.min()),
            "texts": len(self.texts),
            "tokens": self.tokens,
        }

    def integer(self, backend: str) -> BackendResult:
        """Run the linear layers on `backend`, the rest on the host, or say why that cannot be."""
        if self.wanted is None and backend != "torch-int":
            self.integer("torch-int")
        quantised = self.quantised
        self.say(f"opening {backend}")
        try:
            device = open_backend(backend, self.config, board=self.board, progress=self.say)
        except (ToolMissing, DeviceError, UsageError) as error:
            if isinstance(error, UsageError) and DEVICES[backend].where != "board":
                raise
            return BackendResult(backend, "absent", reason=str(error))
        clock_mhz, board, of_board = float(self.config.clock_mhz), None, False
        if isinstance(device, PynqProcess):
            clock_mhz, board, of_board = device.clock_mhz, device.board, not device.virtual
        got: dict[str, NDArray[Any]] = {}
        with self.model.swap(quantised, device) as accelerated:
            session = accelerated.session
            session.record = lambda name, x, y: got.__setitem__(name, y)
            self.say(f"{backend}: {len(self.texts)} texts, {self.tokens} tokens")
            self.model.reset()
            vectors = self.model.embed(self.texts, batch=len(self.texts))
            runs, seconds = session.runs, session.seconds
        if self.wanted is None:
            self.wanted = got
        differences = [
            describe_difference(got[name], want, layer=name, config=self.config, got_name=backend)
            for name, want in self.wanted.items()
        ]
        difference = next(filter(None, differences), None)
        cycles = _total(runs, "cycles")
        predicted = _total(runs, "predicted_cycles")
        roofline = sum(r.roofline_cycles for r in runs)
        clock = cycles if cycles is not None else predicted
        everything = 1000 * self.model.seconds
        of_torch = backend == "torch-int"
        label: Label = "measured"
        if not (of_torch or of_board):
            label = "estimated" if cycles is None else "simulated"
        return BackendResult(
            backend,
            label,
            variant=self.scheme,
            scope=None if of_torch else "linear layers only",
            accelerator_ms=None if clock is None else clock / clock_mhz / 1000,
            host_ms=everything if of_torch else everything - 1000 * seconds,
            host=self.host,
            end_to_end_ms=everything if of_torch else None,
            cycles=cycles,
            predicted_cycles=predicted,
            roofline_cycles=roofline,
            attainment=roofline / cycles if cycles else None,
            bytes_read=_total(runs, "bytes_read"),
            bytes_written=_total(runs, "bytes_written"),
            exact=None if of_torch else difference is None,
            difference=difference,
            device=board,
            gemms=len(runs),
            **self._shared(vectors),
        )

    def torch_cpu(self) -> BackendResult:
        """The float model on the host."""
        return BackendResult(
            "torch-cpu",
            "measured",
            variant="float32 eager",
            host_ms=self.cpu.model_ms,
            host=self.host,
            transfer_ms=0.0,
            end_to_end_ms=self.cpu.model_ms,
            **self._shared(self.cpu.vectors),
        )

    def torch_cuda(self, device: str) -> list[BackendResult]:
        """The float model on a GPU in each variant, or why not, with what is stored."""
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            reason = "torch has no CUDA device here; run this where there is an NVIDIA GPU"
            kept = [BackendResult(**{**r, "label": "stored"}) for r in timing.stored()]
            return [BackendResult("torch-cuda", "absent", reason=reason), *kept]
        found = []
        for dtype, way in timing.CUDA_VARIANTS:
            self.say(f"torch-cuda {dtype} {way}")
            m = timing.measure(self.model, self.inputs, device, dtype, way, repeats=20)
            found.append(
                BackendResult(
                    "torch-cuda",
                    "measured",
                    variant=f"{dtype} {'CUDA graph' if way == 'graph' else way}",
                    scope="whole model",
                    accelerator_ms=m.model_ms,
                    host_ms=0.0,
                    host=self.host,
                    transfer_ms=m.transfer_ms,
                    end_to_end_ms=m.model_ms + m.transfer_ms,
                    device=m.device,
                    driver=timing.driver_version(),
                    date=datetime.date.today().isoformat(),
                    **self._shared(m.vectors),
                )
            )
        return found


def compare(
    model: SentenceModel,
    texts: Sequence[str],
    config: AcceleratorConfig,
    backends: Sequence[str],
    *,
    host: str,
    scheme: str = "static",
    keep_float: Sequence[str] = (),
    cuda: str = "cuda",
    board: Where | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[BackendResult]:
    """Run `texts` as one batch on each of `backends`.

    Parameters
    ----------
    host : what this machine is called in results
    cuda : the torch device that stands for the GPU
    board : of the backend "pynq"; see :func:`weft.backend.opening.open_backend`
    say : told what runs

    Raises
    ------
    UsageError
        An unknown backend, or a text that the model cannot take.
    Mismatch
        A backend differs from torch-int; the sentence names layer, tile and element.
    """
    for name in backends:
        if name not in BACKENDS:
            raise UsageError(f"backends are {', '.join(BACKENDS)}, not {name!r}")
    comparison = _Comparison(model, texts, config, host, scheme, keep_float, board, say)
    results: list[BackendResult] = []
    for name in dict.fromkeys(backends):
        if name == "torch-cpu":
            results.append(comparison.torch_cpu())
        elif name == "torch-cuda":
            results += comparison.torch_cuda(cuda)
        else:
            results.append(comparison.integer(name))
            require_exact(results[-1].difference)
    return results
