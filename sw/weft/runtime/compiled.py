"""Compiled models that run: called like the model, on any backend.

numpy only, unless a step of the host or the backend needs torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.artefact import Artefact, HostStep, Port, ProgramStep
from weft.artefact.artefact import bordered
from weft.backend.base import Backend
from weft.backend.opening import Where, open_backend
from weft.errors import Unsupported, UsageError
from weft.host.run import run_step
from weft.program import Program
from weft_hw.platform import Platform

__all__ = ["CompiledModel", "ProgramRun", "RunningModel", "load_model"]

Array = NDArray[Any]


@dataclass(frozen=True)
class ProgramRun:
    """What one run of a program took; what a backend does not count is None.

    array_rows : cycles in which a row of activations entered the array. roofline_cycles : of what
    is fused as one.
    """

    program: int
    cycles: int | None
    predicted_cycles: int
    roofline_cycles: float
    bytes_read: int | None
    bytes_written: int | None
    array_rows: int | None


class RunningModel:
    """A compiled model on one backend. Use as a context manager, or call :meth:`close`.

    Parameters
    ----------
    model : CompiledModel
    device : Backend
        Open; closed with this object. None where nothing of the model runs on an accelerator.
    """

    def __init__(self, model: CompiledModel, device: Backend[Any] | None) -> None:
        self.model, self.device = model, device
        #: Runs of programs for the last example.
        self.runs: list[ProgramRun] = []
        #: Called with the index of a program, what it got and what it gave, after each run.
        self.on_program: Callable[[int, Mapping[str, Array], Mapping[str, Array]], None] | None
        self.on_program = None

    def __call__(self, *inputs: Any) -> Any:
        """What the model returns for a batch of inputs.

        Parameters
        ----------
        inputs : arrays, or torch tensors, [B, ...] of the model's shapes, any B >= 1

        Returns
        -------
        float32 [B, ...], or a tuple of such where the model has several outputs; tensors where the
        inputs were tensors.

        Raises
        ------
        UsageError
            Inputs are missing, empty, of another shape or dtype, or not finite.
        """
        ports = self.model.artefact.inputs
        if len(inputs) != len(ports):
            raise UsageError(f"the model takes {len(ports)} inputs, not {len(inputs)}")
        arrays = [_array_of(x) for x in inputs]
        batch = len(arrays[0]) if arrays[0].ndim else 0
        for port, x in zip(ports, arrays):
            if x.ndim == 0 or x.shape[1:] != port.shape[1:] or len(x) != batch or not batch:
                shape = ", ".join(map(str, ("B", *port.shape[1:])))
                raise UsageError(
                    f"input {port.name!r} must be [{shape}], B the same for all and at least 1, "
                    f"not {list(x.shape)}"
                )
        found = [
            self.run({port.name: x[i : i + 1] for port, x in zip(ports, arrays)})
            for i in range(batch)
        ]
        outputs = [
            np.concatenate([one[port.name] for one in found])
            for port in self.model.artefact.outputs
        ]
        if not isinstance(inputs[0], np.ndarray) and hasattr(inputs[0], "new_tensor"):
            outputs = [inputs[0].new_tensor(y) for y in outputs]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of one example, by name.

        Parameters
        ----------
        inputs : name -> float32 of the shape of that input, a batch of one

        Raises
        ------
        UsageError
            An input is missing, unknown, of another shape or dtype, or not finite.
        DeviceError
            The accelerator stopped with an error.
        """
        artefact = self.model.artefact
        wanted = {port.name: port for port in artefact.inputs}
        if set(inputs) != set(wanted):
            raise UsageError(
                f"the model has the inputs {', '.join(wanted)}, not {', '.join(inputs) or 'none'}"
            )
        values = {port.value: _checked(port, inputs[name]) for name, port in wanted.items()}
        self.runs = []
        for step in artefact.steps:
            if isinstance(step, HostStep):
                given = [values[name] for name in step.inputs]
                values[step.output] = run_step(step.op, given, step.constants, step.attributes)
            else:
                values |= self._run_program(step, values)
        return {port.name: np.asarray(values[port.value]) for port in artefact.outputs}

    def _run_program(self, step: ProgramStep, values: Mapping[str, Array]) -> dict[str, Array]:
        assert self.device is not None
        index = len(self.runs)
        on_chip = self.device.takes == "program"
        with self.device.exclusive:
            self.device.load(step.program if on_chip else self.model.graphs[index])
            given = {
                tensor: bordered(values[value], step, tensor)
                for tensor, value in step.inputs.items()
            }
            got = self.device.run(given)
            counters = self.device.counters()
        beat = step.program.config.beat_bytes
        self.runs.append(
            ProgramRun(
                index,
                counters.get("cycles"),
                int(step.program.metadata.get("predicted_cycles", 0)),
                float(step.program.metadata.get("roofline_cycles", 0.0)),
                counters["beats_read"] * beat if "beats_read" in counters else None,
                counters["beats_written"] * beat if "beats_written" in counters else None,
                counters.get("array_rows"),
            )
        )
        if self.on_program is not None:
            self.on_program(index, given, got)
        return {value: got[tensor] for value, tensor in step.outputs.items()}

    @property
    def cycles(self) -> int | None:
        """Of the accelerator for the last example; None on a backend without a clock."""
        found = [run.cycles for run in self.runs if run.cycles is not None]
        return sum(found) if len(found) == len(self.runs) and found else None

    def close(self) -> None:
        """Give the backend back."""
        if self.device is not None:
            self.device.close()

    def __enter__(self) -> RunningModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CompiledModel:
    """A model that was compiled for an accelerator; :func:`weft.compile` makes it.

    Parameters
    ----------
    artefact : Artefact
    graphs : the integer graph of each program, for the reference; a loaded model has none.
    operators : what :meth:`explain` gives
    """

    def __init__(
        self,
        artefact: Artefact,
        graphs: Sequence[Any] = (),
        operators: Sequence[Any] = (),
    ) -> None:
        self.artefact, self.graphs = artefact, tuple(graphs)
        self._operators = tuple(operators)
        self._running: RunningModel | None = None

    def __call__(self, *inputs: Any) -> Any:
        """What the model returns, by the emulator; see :meth:`RunningModel.__call__`."""
        if self._running is None:
            self._running = self.open()
        return self._running(*inputs)

    def open(
        self,
        backend: str = "emulator",
        platform: Platform | None = None,
        *,
        board: Where | None = None,
        progress: Any = None,
    ) -> RunningModel:
        """The model on `backend`: emulator, rtl, pynq, or torch-int.

        Raises
        ------
        Unsupported
            torch-int, for a model that was loaded: it takes graphs, and a file has none.
        Others, as :func:`weft.open_backend`.
        """
        if backend == "torch-int" and len(self.graphs) != len(self.programs):
            raise Unsupported(
                "torch-int takes integer graphs, and a model file holds programs alone",
                "compile the model in this process, or choose another backend",
            )
        config = self.artefact.config
        if config is None:
            return RunningModel(self, None)
        where = platform or config
        return RunningModel(self, open_backend(backend, where, board=board, progress=progress))

    @property
    def programs(self) -> list[Program]:
        """One for each part of the model that runs on the accelerator, in order."""
        return self.artefact.programs

    @property
    def program(self) -> Program:
        """The one program of the model.

        Raises
        ------
        UsageError
            The model has another number of programs.
        """
        if len(self.programs) != 1:
            raise UsageError(
                f"the model has {len(self.programs)} programs", "take .programs, see .explain()"
            )
        return self.programs[0]

    def explain(self) -> list[Any]:
        """Each operator: where it runs, why, and what it is predicted to take.

        Raises
        ------
        UsageError
            The model was loaded; a file says what runs, and not why.
        """
        if not self._operators:
            raise UsageError("a loaded model does not say why it is as it is", "compile it again")
        return list(self._operators)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, which holds integers, scales and metadata only."""
        self.artefact.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CompiledModel:
        """Read a model file; raises as :meth:`Artefact.load`."""
        return cls(Artefact.load(path))


def load_model(path: str | os.PathLike[str]) -> CompiledModel:
    """The compiled model in a file; raises as :meth:`Artefact.load`."""
    return CompiledModel.load(path)


def _array_of(x: Any) -> Array:
    return np.asarray(x.detach().cpu().numpy() if hasattr(x, "detach") else x)


def _checked(port: Port, x: Array) -> Array:
    x = np.asarray(x)
    if x.shape != port.shape or x.dtype != np.float32:
        raise UsageError(
            f"input {port.name!r} must be float32 {list(port.shape)}, "
            f"not {x.dtype} {list(x.shape)}"
        )
    if not np.isfinite(x).all():
        raise UsageError(f"input {port.name!r} holds NaN or infinity")
    return x
