"""A compiled model: steps of the accelerator and of the host, in order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import ProgramFileError, UsageError
from weft.files.outputs import write_file
from weft.host.run import is_known, needs_torch
from weft.program import Program
from weft.verify import verify
from weft_hw.config import AcceleratorConfig

__all__ = ["Artefact", "HostStep", "Port", "ProgramStep", "bordered"]

#: What no mean or deviation of pixels 0..255 is near.
_PIXEL_LIMIT = 1e6
#: Element types of the constants of a step of the host.
DTYPES = ("float32", "float64", "int8", "int32", "int64", "bool")


def _rule(ok: bool, sentence: str) -> None:
    if not ok:
        raise UsageError(f"model: {sentence}")


@dataclass(frozen=True)
class Port:
    """An input or an output: its name for people, the value that it is, its shape in torch."""

    name: str
    value: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class HostStep:
    """``output = op(*inputs)`` on the host; see :mod:`weft.host.run`."""

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ProgramStep:
    """One run of a program.

    Parameters
    ----------
    program : Program
    inputs : tensor of the program -> value
    outputs : value -> tensor of the program
    borders : tensor -> (top, bottom, left, right, value): what the host writes around an input
    """

    program: Program
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    borders: Mapping[str, tuple[int, int, int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Artefact:
    """What a compiled model file holds: integers, scales and metadata only.

    Parameters
    ----------
    steps : sequence of HostStep and ProgramStep; each reads what stands before it.
    inputs, outputs : sequence of Port
    metadata : mapping of JSON values

    Raises
    ------
    UsageError
        A step reads what is not there, or is not one that can be; there is no step.
    """

    steps: tuple[HostStep | ProgramStep, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _rule(len(self.steps) > 0, "there is no step")
        _rule(len(self.inputs) > 0 and len(self.outputs) > 0, "needs an input and an output")
        known = set()
        for port in self.inputs:
            _rule(port.value not in known, f"two inputs are {port.value!r}")
            known.add(port.value)
        for step in self.steps:
            if isinstance(step, HostStep):
                _rule(is_known(step.op), f"the host has no operator {step.op!r}")
                reads, writes = step.inputs, [step.output]
                for name, array in step.constants.items():
                    _rule(array.dtype.name in DTYPES, f"constant {name!r} is {array.dtype}")
            else:
                reads, writes = tuple(step.inputs.values()), list(step.outputs)
                self._check_tensors(step)
            for name in reads:
                _rule(name in known, f"a step reads {name!r} before it is computed")
            for name in writes:
                _rule(name not in known, f"{name!r} is computed twice")
                known.add(name)
        for port in self.outputs:
            _rule(port.value in known, f"output {port.value!r} is not computed")
        names = [port.name for port in (*self.inputs, *self.outputs)]
        _rule(len(set(names)) == len(names), f"two of {', '.join(names)} have one name")
        configs = {program.config.hash for program in self.programs}
        _rule(len(configs) <= 1, "its programs are for different accelerators")

    def _check_tensors(self, step: ProgramStep) -> None:
        program = step.program
        _rule(
            set(step.inputs) == set(program.inputs),
            "a program's inputs are not those of its step",
        )
        _rule(
            set(step.outputs.values()) <= set(program.outputs)
            and len(set(step.outputs.values())) == len(step.outputs),
            "a program's outputs are not those of its step",
        )
        _rule(not program.patches and not program.states, "a program has patches or states")
        for tensor, border in step.borders.items():
            _rule(tensor in program.inputs, f"there is no input {tensor!r} to have a border")
            shape = program.inputs[tensor].shape
            top, bottom, left, right, value = border
            _rule(
                len(shape) == 3
                and min(top, bottom, left, right) >= 0
                and top + bottom < shape[0]
                and left + right < shape[1]
                and -128 <= value <= 127,
                f"{list(border)} is no border of {list(shape)}",
            )

    @property
    def programs(self) -> list[Program]:
        """In the order in which they run."""
        return [step.program for step in self.steps if isinstance(step, ProgramStep)]

    @property
    def config(self) -> AcceleratorConfig | None:
        """The accelerator that it was compiled for; None where nothing of it runs there."""
        return next((program.config for program in self.programs), None)

    @property
    def pixels(self) -> tuple[float, float] | None:
        """(mean, std) that make inputs of pixels 0..255; None where the file does not say."""
        found = self.metadata.get("pixels")
        if not isinstance(found, (list, tuple)) or len(found) != 2:
            return None
        mean, std = found
        if not all(type(v) in (int, float) and abs(v) < _PIXEL_LIMIT for v in found) or std <= 0:
            return None
        return float(mean), float(std)

    @property
    def torch_operators(self) -> list[str]:
        """Operators of the host that need torch, each once."""
        host = (step for step in self.steps if isinstance(step, HostStep))
        return list(dict.fromkeys(step.op for step in host if needs_torch(step.op)))

    def described(self, metadata: Mapping[str, Any]) -> Artefact:
        """Copy with more metadata."""
        return replace(self, metadata={**self.metadata, **metadata})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file."""
        from .file import pack

        write_file(Path(path), pack(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Artefact:
        """Read a model file, whose programs are verified.

        Raises
        ------
        UsageError
            The file cannot be read.
        ProgramFileError
            It is truncated, tampered with, or breaks a rule.
        Mismatch
            It was compiled for another ISA.
        ProgramRefused
            A program in it does not verify.
        """
        from .file import unpack

        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
        try:
            artefact = unpack(raw, str(path))
        except UsageError as error:
            raise ProgramFileError(f"{path}: {error.message}", error.remedy) from None
        for program in artefact.programs:
            verify(program)
        return artefact


def bordered(x: NDArray[Any], step: ProgramStep, tensor: str) -> NDArray[np.int8]:
    """int8 map with its border, where the step says so."""
    border = step.borders.get(tensor)
    if x.dtype != np.int8 or (border is not None and x.ndim != 3):
        raise UsageError(f"model: a program's input {tensor!r} is no int8 map, but {x.dtype}")
    if border is None:
        return np.asarray(x)
    top, bottom, left, right, value = border
    return np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=value)
