"""What a MODEL of the command line stands for: a built-in network, a file, or a function of one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft.compiler.frontend.export import load_exported
from weft.errors import UsageError

from .builtin import MODELS

__all__ = ["FoundModel", "find_model", "load_function"]

Data = Callable[[], Iterable[Any]]
#: Examples of a user's data that a model is calibrated on.
EXAMPLES_OF_DATA = 64
#: Examples that built-in networks are calibrated on.
EXAMPLES = 16


@dataclass(frozen=True, eq=False)
class FoundModel:
    """A model to compile.

    Parameters
    ----------
    name : for people
    model : torch.nn.Module, or torch.export.ExportedProgram
    inputs : float32 tensors [B, ...], one for each input
    calibration : batches of inputs, the first of the user's data; None: `inputs` are.
    pixels : (mean, std) of pictures, where that is known
    data : gives all batches of the user's data, with their labels
    note : what its weights and data are, where they are not the user's; may be empty.
    """

    name: str
    model: Any
    inputs: tuple[Any, ...]
    calibration: Iterable[Any] | None = None
    pixels: tuple[float, float] | None = None
    data: Callable[[], Iterable[Any]] | None = None
    note: str = ""

    def batches(self) -> Iterable[Any]:
        """The batches to evaluate on: all of the user's data, or else the example inputs."""
        return [self.inputs] if self.data is None else self.data()

    def example(self, seed: int = 0) -> list[Any]:
        """float32 arrays, a batch of one, of each input: an example of the model's own, or noise.

        Raises
        ------
        UsageError
            There is neither an example nor a shape to make one of.
        """
        import numpy as np

        if self.inputs:
            return [np.asarray(x[seed % len(x)][None].cpu().numpy()) for x in self.inputs]
        given = getattr(self.model, "example_inputs", None)
        if not given or not given[0]:
            raise UsageError(f"{self.name} has no example inputs", "give some by --data")
        rng = np.random.default_rng(seed)
        return [rng.standard_normal(tuple(x.shape)).astype(np.float32) for x in given[0]]


def find_model(text: str, data: str | None = None, *, examples: int = EXAMPLES) -> FoundModel:
    """The model that `text` names, with the calibration data that `data` names.

    Parameters
    ----------
    text : a built-in name; FILE.py:FUNCTION, which returns a model, or (model, inputs); a file of
        torch.export, or of ONNX
    examples : that a built-in network is calibrated on, unless there are data
    data : MODULE:FUNCTION or FILE.py:FUNCTION, which gives batches of inputs, or (inputs, labels)

    Raises
    ------
    UsageError
        There is no such model, function or file; or there is nothing to calibrate on.
    """
    batches = None if data is None else load_function(data, "--data")
    if text in MODELS:
        found = MODELS[text]
        return FoundModel(
            text,
            found.make(),
            (found.examples(examples, seed=1),),
            _first(batches),
            found.pixels,
            batches,
            found.note(batches is not None),
        )
    path = Path(text)
    if path.suffix == ".pt2":
        exported = load_exported(path)
        return FoundModel(path.name, exported, (), _first(batches) or [], data=batches)
    if path.suffix == ".onnx":
        return _of_onnx(path, batches, examples)
    if ".py:" in text:
        return _of_function(text, batches)
    raise UsageError(
        f"there is no model {text!r}",
        f"give a built-in name ({', '.join(MODELS)}), FILE.py:FUNCTION, a .pt2 or an .onnx file",
    )


def _first(batches: Data | None) -> list[Any] | None:
    """The first batches of a user's data, of EXAMPLES_OF_DATA examples; raises UsageError."""
    if batches is None:
        return None
    found, count = [], 0
    for batch in batches():
        found.append(batch)
        first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        count += len(first) if hasattr(first, "__len__") else 1
        if count >= EXAMPLES_OF_DATA:
            break
    return found


def _of_onnx(path: Path, batches: Data | None, examples: int) -> FoundModel:
    import torch

    from weft.compiler.frontend.onnx import load_onnx

    module = load_onnx(path)
    made = torch.Generator().manual_seed(1)
    inputs = tuple(
        torch.randn((examples, *shape[1:]), generator=made) for shape in module.shapes()
    )
    note = "" if batches else "calibrated on noise"
    return FoundModel(path.name, module, inputs, _first(batches), None, batches, note)


def _of_function(text: str, batches: Any) -> FoundModel:
    import torch

    made = load_function(text, "MODEL")()
    name = text.rpartition(":")[2]
    inputs: tuple[Any, ...] = ()
    if isinstance(made, tuple) and len(made) == 2:
        made, given = made
        inputs = (given,) if isinstance(given, torch.Tensor) else tuple(given)
    if not isinstance(made, (torch.nn.Module, torch.export.ExportedProgram)):
        raise UsageError(
            f"{text} must return a torch.nn.Module, or that and its inputs, "
            f"not {type(made).__name__}"
        )
    calibration = _first(batches)
    if not inputs and calibration:
        first = calibration[0]
        inputs = (first,) if isinstance(first, torch.Tensor) else tuple(first)[:1]
    if not inputs and isinstance(made, torch.nn.Module):
        raise UsageError(
            f"{text} gives no inputs", "let it return (model, inputs), or name them by --data"
        )
    return FoundModel(name, made, inputs, calibration, data=batches)


def load_function(text: str, what: str) -> Any:
    """The function that MODULE:FUNCTION or FILE.py:FUNCTION names.

    Raises
    ------
    UsageError
        There is no such module, file or function; `what` is the option that named it.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier():
        raise UsageError(f"{what} must be FILE.py:FUNCTION or MODULE:FUNCTION, not {text!r}")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise UsageError(f"{what}: there is no file {place}")
        spec = importlib.util.spec_from_file_location(f"_weft_user_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, str(path.resolve().parent))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(path.resolve().parent))
    else:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise UsageError(f"{what}: {error}", "name a file, or a module on the path") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"{what}: {place} has no function {name!r}")
    return function
