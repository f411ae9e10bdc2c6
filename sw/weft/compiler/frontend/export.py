"""torch models as graphs of aten operators, by ``torch.export``.

Whatever would end in a wrong answer or an obscure message later is refused here, in one sentence.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from weft.errors import Unsupported, UsageError
from weft.tools import quietly

__all__ = ["check_inputs", "export_model", "load_exported"]


def check_inputs(what: str, inputs: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """`inputs` as a tuple of tensors.

    Raises
    ------
    UsageError
        One is no tensor, empty, or holds NaN or infinity.
    Unsupported
        One has a dtype that no model input has.
    """
    found = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    if not found:
        raise UsageError(f"{what}: there is no input", "give the tensors that the model takes")
    for x in found:
        if not isinstance(x, torch.Tensor):
            raise UsageError(f"{what} must be tensors, not {type(x).__name__}")
        if x.dtype != torch.float32:
            raise Unsupported(f"{what} must be float32, not {x.dtype}", "convert it")
        if x.numel() == 0:
            raise UsageError(f"{what} must not be empty, not {list(x.shape)}")
        if not torch.isfinite(x).all():
            raise UsageError(f"{what} must be finite, and hold NaN or infinity")
    return found


def export_model(model: Any, inputs: Sequence[Any]) -> torch.export.ExportedProgram:
    """The graph of `model` for one example, whatever the batch of `inputs` is.

    Parameters
    ----------
    model : torch.nn.Module in eval mode, or ExportedProgram, which is returned
    inputs : float32 tensors [B, ...], B >= 1; the first of each batch is taken.

    Raises
    ------
    UsageError
        The model is in train mode, or an input is not as it must be.
    Unsupported
        torch.export cannot follow the model: control flow that depends on data, for example. Or an
        ExportedProgram takes more than one example, or shapes that it does not say.
    """
    if isinstance(model, torch.export.ExportedProgram):
        _check_shapes(model)
        return model
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
    training = [name or "it" for name, part in model.named_modules() if part.training]
    if training:
        raise UsageError(
            f"the model must be in eval mode, {training[0]} is in train mode", "call model.eval()"
        )
    found = tuple(x[:1] for x in check_inputs("example inputs", inputs))
    try:
        with quietly(), torch.no_grad():
            return torch.export.export(model, found)
    except Exception as error:  # torch.export raises whatever the model's code runs into
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise Unsupported(
            f"torch.export cannot follow the model: {first[0][:200]}",
            "let shapes and branches not depend on data, or give inputs that the model takes",
        ) from error


def _check_shapes(program: torch.export.ExportedProgram) -> None:
    """Refuse a program that takes anything but one example of a known shape."""
    inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op != "placeholder" or node.name not in inputs:
            continue
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            raise Unsupported(
                f"input {node.name} of the exported model is {type(value).__name__}, and no tensor",
                "make it a constant of the model",
            )
        shape = list(value.shape)
        if not all(isinstance(size, int) for size in shape):
            raise Unsupported(
                f"input {node.name} of the exported model has a dynamic shape, {shape}",
                "export it without dynamic shapes",
            )
        if not shape or shape[0] != 1:
            raise Unsupported(
                f"the exported model must take one example at a time, and its input {node.name} is "
                f"{shape}",
                "export it with inputs [1, ...]; a batch is run example by example",
            )


def load_exported(path: Path) -> torch.export.ExportedProgram:
    """The graph in a file that ``torch.export.save`` wrote.

    Raises
    ------
    UsageError
        The file cannot be read, is no such file, or would run code of its own when it is read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        _refuse_code(raw)
        return torch.export.load(io.BytesIO(raw))
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.remedy) from None
    except Exception as error:  # whatever torch runs into in a broken file
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"{path} is no file of torch.export: {first[:200]}", "write it by torch.export.save"
        ) from None


def _refuse_code(raw: bytes) -> None:
    """Refuse an archive in which anything but JSON and tensors stands.

    torch.export.load unpickles some members without asking, and loads compiled libraries.
    """

    def refuse(name: str) -> None:
        raise UsageError(
            f"{name!r} in it can run code when it is read", "export the model again, without it"
        )

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for name in archive.namelist():
            if any(part in name for part in ("custom_obj", "opaque_obj", "aotinductor", ".so")):
                refuse(name)
            if name.endswith(".json") and '"use_pickle": true' in _spaced(archive.read(name)):
                refuse(name)
            if name.endswith(".pt") and archive.getinfo(name).file_size:
                try:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                except pickle.UnpicklingError:
                    refuse(name)


def _spaced(raw: bytes) -> str:
    """JSON written in one way."""
    return json.dumps(json.loads(raw))
