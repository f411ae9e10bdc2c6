"""Model files: a container whose payload are programs and constants, without gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from weft.errors import UsageError
from weft.files.container import Container
from weft.files.untrusted import check_name
from weft.program import Program

from .artefact import DTYPES, Artefact, HostStep, Port, ProgramStep

__all__ = ["FORMAT_VERSION", "MAGIC", "pack", "unpack"]

MAGIC = b"WEFTMODL"
FORMAT_VERSION = 1
_FILE = Container(MAGIC, FORMAT_VERSION, "a Weft model")


def pack(artefact: Artefact) -> bytes:
    """The content of the file of a model."""
    blobs: list[bytes] = []

    def blob(data: bytes) -> int:
        blobs.append(data)
        return len(data)

    steps: list[dict[str, Any]] = []
    for step in artefact.steps:
        if isinstance(step, ProgramStep):
            steps.append(
                {
                    "program": blob(step.program.to_bytes()),
                    "inputs": dict(step.inputs),
                    "outputs": dict(step.outputs),
                    "borders": {name: list(b) for name, b in step.borders.items()},
                }
            )
            continue
        constants = {
            name: [array.dtype.name, list(array.shape), blob(_little(array).tobytes())]
            for name, array in sorted(step.constants.items())  # as the header sorts its keys
        }
        steps.append(
            {
                "name": step.name, "op": step.op, "inputs": list(step.inputs),
                "output": step.output, "attributes": dict(step.attributes), "constants": constants,
            }
        )  # fmt: skip
    header = {
        "inputs": [vars(port) for port in artefact.inputs],
        "outputs": [vars(port) for port in artefact.outputs],
        "steps": steps,
        "metadata": dict(artefact.metadata),
    }
    return _FILE.pack(header, b"".join(blobs))


def _little(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


class _Reader:
    def __init__(self, payload: bytes) -> None:
        self.payload, self.at = payload, 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.payload):
            raise UsageError(f"the payload has {len(self.payload)} bytes, its parts need more")
        self.at += size
        return self.payload[self.at - size : self.at]


def _exact(given: Any, what: str, keys: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) != set(keys):
        raise UsageError(f"a {what} must have exactly {', '.join(keys)}")
    for name, kind in keys.items():
        if type(given[name]) is not kind:
            raise UsageError(f"{what} {name} must be {kind.__name__}, not {str(given[name])[:80]}")
    return given


def _texts(given: Any, what: str) -> Any:
    """Strings of a list, or names and values of an object."""
    items = [*given, *given.values()] if isinstance(given, dict) else given
    if not all(isinstance(item, str) for item in items):
        raise UsageError(f"{what} must be strings")
    return given


_HEADER = {"inputs": list, "outputs": list, "steps": list, "metadata": dict}
_PORT = {"name": str, "value": str, "shape": list}
_PROGRAM = {"program": int, "inputs": dict, "outputs": dict, "borders": dict}
_HOST = {
    "name": str, "op": str, "inputs": list, "output": str, "attributes": dict, "constants": dict
}  # fmt: skip


def unpack(raw: bytes, source: str) -> Artefact:
    """The model in `raw`, the content of a file; `source` is its name in messages.

    Raises
    ------
    ProgramFileError, UsageError
        It is truncated, was changed, or breaks a rule.
    Mismatch
        A program is for another ISA.
    """
    header, payload = _FILE.unpack(raw, source)
    _exact(header, "header", _HEADER)
    reader = _Reader(payload)
    steps = [_step(step, reader, source) for step in header["steps"]]
    if reader.at != len(payload):
        raise UsageError(f"the payload has {len(payload)} bytes, its parts need {reader.at}")
    return Artefact(
        steps=tuple(steps),
        inputs=_ports(header["inputs"]),
        outputs=_ports(header["outputs"]),
        metadata=header["metadata"],
    )


def _ports(given: list[Any]) -> tuple[Port, ...]:
    ports = []
    for item in given:
        _exact(item, "port", _PORT)
        shape = item["shape"]
        if not shape or not all(type(n) is int and n >= 1 for n in shape) or shape[0] != 1:
            raise UsageError(f"{item['name']!r} has the shape {shape}, not that of one example")
        ports.append(Port(_name(item["name"]), item["value"], tuple(shape)))
    return tuple(ports)


def _name(text: str) -> str:
    """What may name a file: outputs are written under their names."""
    try:
        return check_name("an input or output", text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _step(given: Any, reader: _Reader, source: str) -> HostStep | ProgramStep:
    if isinstance(given, dict) and "program" in given:
        _exact(given, "step", _PROGRAM)
        program = Program.from_bytes(reader.take(given["program"]), source=source)
        borders = {}
        for name, border in given["borders"].items():
            if not (isinstance(border, list) and len(border) == 5
                    and all(type(v) is int for v in border)):  # fmt: skip
                raise UsageError(f"a border must be five ints, not {str(border)[:80]}")
            borders[name] = tuple(border)
        return ProgramStep(
            program, _texts(given["inputs"], "inputs"), _texts(given["outputs"], "outputs"), borders
        )
    _exact(given, "step", _HOST)
    constants = {}
    for name, item in given["constants"].items():
        if not (isinstance(item, list) and len(item) == 3 and item[0] in DTYPES
                and isinstance(item[1], list) and all(type(v) is int and v >= 0 for v in item[1])
                and type(item[2]) is int):  # fmt: skip
            raise UsageError(f"constant {name!r} must be [dtype, shape, bytes]")
        kind = np.dtype(item[0]).newbyteorder("<")
        if item[2] != math.prod(item[1]) * kind.itemsize:
            raise UsageError(f"constant {name!r} has {item[2]} bytes, and elements {item[1]}")
        constants[name] = np.frombuffer(reader.take(item[2]), kind).reshape(item[1])
    return HostStep(
        given["name"], given["op"], tuple(_texts(given["inputs"], "inputs")), given["output"],
        given["attributes"], constants,
    )  # fmt: skip
