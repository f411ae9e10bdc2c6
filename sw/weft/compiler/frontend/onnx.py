"""ONNX files as torch modules, which are then exported and quantised as any other.

The ``onnx`` package reads the file, checks it and infers shapes; each node becomes a module of
torch, whose name is that of the node. ``OPERATORS`` of :mod:`.onnx_operators` is what is read, and
tested against ONNX's own cases, for the opsets in ``OPSETS``.

Source: ONNX operator schemas.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weft.errors import Unsupported, UsageError
from weft.files.untrusted import safe_name
from weft.tools import require

from .onnx_operators import BY_NUMBERS, OPERATORS, Attributes

__all__ = ["OPSETS", "OnnxModule", "load_onnx"]

#: Versions of the operators that are tested.
OPSETS = range(13, 22)


def _refuse(node: str, why: str) -> Unsupported:
    return Unsupported(f"ONNX node {node}: {why}", "change the model, or export it otherwise")


class OnnxNode(torch.nn.Module):
    """One node of a file.

    Parameters
    ----------
    name, op : of the node
    attributes : by name
    """

    def __init__(self, name: str, op: str, attributes: Attributes) -> None:
        super().__init__()
        self.label, self.op, self.attributes = name, op, dict(attributes)

    def forward(self, *inputs: Any) -> Any:
        """The value of the output."""
        try:
            return OPERATORS[self.op](self.attributes, *inputs)
        except Unsupported as error:
            raise _refuse(f"{self.label} ({self.op})", error.message) from None


class OnnxModule(torch.nn.Module):
    """The graph of a file; called with its inputs, in their order.

    Parameters
    ----------
    model : onnx.ModelProto, checked

    Raises
    ------
    Unsupported
        It has another opset, an operator that is not on the list, or several graphs.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        import onnx
        from onnx import numpy_helper

        own = ("", "ai.onnx")
        versions = {entry.version for entry in model.opset_import if entry.domain in own}
        if len(versions) != 1 or next(iter(versions)) not in OPSETS:
            raise Unsupported(
                f"the ONNX model has opset {sorted(versions)}, "
                f"{OPSETS[0]} to {OPSETS[-1]} are read",
                "convert it by onnx.version_converter",
            )
        graph = model.graph
        #: Name of what is known -> name of the parameter that it is; only float32 are.
        self.parameter: dict[str, str] = {}
        #: All that is known, as arrays.
        self.numbers: dict[str, Any] = {}
        for tensor in graph.initializer:
            self._keep(tensor.name, numpy_helper.to_array(tensor))
        self.inputs = [v for v in graph.input if v.name not in self.numbers]
        self.outputs = [v.name for v in graph.output]
        self.steps: list[tuple[str, list[str], list[str]]] = []
        for index, node in enumerate(graph.node):
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            given = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
            label = node.name or f"{node.op_type}_{index}"
            if node.op_type == "Constant" and "value" in given:
                self._keep(node.output[0], numpy_helper.to_array(given["value"]))
                continue
            if node.domain not in own or node.op_type not in OPERATORS:
                names = f"{node.domain + '.' if node.domain else ''}{node.op_type}"
                raise _refuse(label, f"there is no operator {names}")
            op, reads = self._as_linear(node.op_type, given, list(node.input))
            name = safe_name(label).replace(".", "_")
            while hasattr(self, name):
                name += "_"
            self.add_module(name, OnnxNode(label, op, given))
            self.steps.append((name, reads, list(node.output)[:1]))
        self._join_biases()
        self.eval()

    def _as_linear(self, op: str, given: Attributes, reads: list[str]) -> tuple[str, list[str]]:
        """A product with constant weights as torch's linear layer, whose weights are [N, K]."""
        weights = self.numbers.get(reads[1]) if len(reads) > 1 else None
        if weights is None or weights.dtype != np.float32 or weights.ndim != 2:
            return op, reads
        if op not in ("Gemm", "MatMul") or given.get("transA", 0):
            return op, reads
        bias = self.numbers.get(reads[2]) if len(reads) > 2 and reads[2] else None
        if len(reads) > 2 and reads[2] and (bias is None or bias.ndim != 1):
            return op, reads
        if given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
            return op, reads
        if not given.get("transB", 0):
            name = f"{reads[1]}.transposed"
            if name not in self.numbers:
                self._keep(name, weights.T)
            reads = [reads[0], name, *reads[2:]]
        return "Linear", reads

    def _join_biases(self) -> None:
        """A constant vector that is added to a linear layer's results alone is its bias."""
        users: dict[str, int] = {}
        for _, reads, _ in self.steps:
            for name in reads:
                users[name] = users.get(name, 0) + 1
        made = {writes[0]: step for step in self.steps for writes in [step[2]]}
        for step in list(self.steps):
            part = getattr(self, step[0])
            if part.op != "Add":
                continue
            for at, other in (step[1], step[1][::-1]):
                before, bias = made.get(at), self.numbers.get(other)
                if before is None or bias is None or bias.dtype != np.float32 or bias.ndim != 1:
                    continue
                if users[at] > 1 or at in self.outputs:
                    continue
                is_linear = getattr(self, before[0]).op == "Linear" and len(before[1]) == 2
                if is_linear and len(bias) == len(self.numbers[before[1][1]]):
                    before[1].append(other)
                    before[2][0] = step[2][0]
                    made[step[2][0]] = before
                    self.steps.remove(step)
                    break

    def _keep(self, name: str, value: Any) -> None:
        self.numbers[name] = value
        if value.dtype == np.float32:
            self.parameter[name] = own = f"value{len(self.parameter)}"
            parameter = torch.nn.Parameter(torch.from_numpy(np.array(value)), requires_grad=False)
            self.register_parameter(own, parameter)

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the inputs; a named first size is a batch, and 1.

        Raises
        ------
        Unsupported
            Another size is not known, or an input is not float32.
        """
        found = []
        for value in self.inputs:
            kind = value.type.tensor_type
            if kind.elem_type != 1:
                raise Unsupported(f"ONNX input {value.name} is not float32")
            sizes = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
            if sizes and not sizes[0]:
                sizes[0] = 1
            if not sizes or not all(sizes):
                raise Unsupported(
                    f"ONNX input {value.name} has sizes that are not known: {sizes}",
                    "give the model fixed sizes",
                )
            found.append(tuple(sizes))
        return found

    def forward(self, *inputs: Any) -> Any:
        """What the graph returns; several outputs as a tuple."""
        values: dict[str, Any] = {"": None, **self.numbers}
        values |= {name: getattr(self, own) for name, own in self.parameter.items()}
        values |= {v.name: x for v, x in zip(self.inputs, inputs)}
        for name, reads, writes in self.steps:
            part = getattr(self, name)
            given = [values[r] for r in reads]
            if part.op in BY_NUMBERS:
                given[1:] = [self.numbers.get(r, values[r]) for r in reads[1:]]
            values[writes[0]] = part(*given)
        found = tuple(values[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found


def load_onnx(path: Path) -> OnnxModule:
    """The module of a file.

    Raises
    ------
    UsageError
        The file cannot be read, or is no ONNX model; it keeps its weights in other files.
    Unsupported
        As :class:`OnnxModule`.
    ToolMissing
        onnx is not installed.
    """
    require("onnx", what="an ONNX file")
    import onnx

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        model = onnx.load_model_from_string(raw)
        if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
            raise UsageError(f"{path} keeps weights in other files", "save it as one file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            onnx.checker.check_model(model, full_check=True)
    except UsageError:
        raise
    except Exception as error:  # protobuf's, the checker's and the inference's own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} is no ONNX model: {first[:200]}") from None
    return OnnxModule(model)
