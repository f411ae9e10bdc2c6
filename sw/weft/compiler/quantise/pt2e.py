"""Static int8 quantisation of exported models, by torchao's PT2E flow.

The one module that reads torchao. Weights are symmetric int8 per output channel; activations are
affine int8 per tensor; what the accelerator computes in one step, a convolution with what is added
to it and an activation that clamps, is rounded once. torch's graph of the result is arithmetic on
floats: it says what integers mean, and is never the reference for them.

Source: torchao 0.18, ``torchao.quantization.pt2e``.
"""

from __future__ import annotations

import copy
import fnmatch
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from weft.compiler.frontend.aten import op_of
from weft.compiler.frontend.export import check_inputs
from weft.compiler.frontend.names import layer_name
from weft.errors import UsageError
from weft.host.operators import POINTWISE
from weft.tools import quietly, require
from weft_hw.numerics import WEIGHT_MAX

from .products import correct_products

__all__ = ["EPS", "WeftQuantizer", "examples_of", "has_quantisation", "quantise_exported"]

#: Least scale. The default of torchao, 2**-23, lets the bias of a dead channel overflow.
EPS = 2.0**-12

#: What passes values on without computing: one scale before and behind. "" is no operator at all.
_PASSES = ("max_pool2d", "reshape", "pad", "permute", "")
_AVERAGES = ("avg_pool2d", "mean")
#: Examples that products are corrected on, at most: those of more say nothing new.
_CORRECTED = 32
#: Examples that show what is rare; of fewer, nothing is cut off.
_MANY = 32


def _torchao() -> Any:
    require("torchao", what="quantisation of a model")
    with quietly():
        import torchao.quantization.pt2e as pt2e
        import torchao.quantization.pt2e.quantize_pt2e as flow
        import torchao.quantization.pt2e.quantizer as quantizer
    return pt2e, flow, quantizer


class WeftQuantizer:
    """Annotates an exported graph with what the accelerator keeps as int8.

    A ``Quantizer`` of torchao in all but name, so that this module imports without it.

    Parameters
    ----------
    keep_float : names or patterns of layers that are not quantised
    rough : ranges are those of the data, and not those of least error, whose search takes seconds
    """

    def __init__(self, keep_float: Sequence[str] = (), rough: bool = False) -> None:
        pt2e, _, self._kinds = _torchao()
        self.keep_float = tuple(keep_float)
        self.unmatched = {*keep_float}
        spec = self._kinds.QuantizationSpec
        observer = pt2e.MinMaxObserver if rough else pt2e.HistogramObserver
        self._activation = spec(
            dtype=torch.int8, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine,
            is_dynamic=False,
            observer_or_fake_quant_ctr=observer.with_args(eps=EPS),
        )  # fmt: skip
        self._weights = spec(
            dtype=torch.int8, quant_min=-WEIGHT_MAX, quant_max=WEIGHT_MAX,
            qscheme=torch.per_channel_symmetric, ch_axis=0, is_dynamic=False,
            observer_or_fake_quant_ctr=pt2e.PerChannelMinMaxObserver.with_args(eps=EPS),
        )  # fmt: skip

    # -- what torchao calls -----------------------------------------------------------------------

    def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """Nothing is changed before the annotation."""
        return model

    def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """Say of each operator what is quantised around it."""
        self._order = {node: i for i, node in enumerate(model.graph.nodes)}
        self._taken: set[torch.fx.Node] = set()
        for node in model.graph.nodes:
            op = op_of(node)
            if op is None or node in self._taken or self._kept(node):
                continue
            if op in ("conv2d", "linear"):
                self._annotate_product(node)
            elif op == "add" and _is_plain_add(node):
                summands = dict.fromkeys(node.args[:2], self._activation)
                self._annotate(node, summands, self._end(node))
            elif op in _AVERAGES and _is_map(node.args[0]):
                self._annotate(node, {node.args[0]: self._activation}, self._end(node))
            elif op == "clamp" or op in POINTWISE:
                if self._is_quantised(node.args[0]):
                    self._annotate(node, {node.args[0]: self._activation}, node)
            elif op in _PASSES and self._is_quantised(node.args[0]):
                self._annotate_shared(node, [node.args[0]])
            elif op == "concat" and all(map(self._is_quantised, node.args[0])):
                self._annotate_shared(node, list(node.args[0]))
        return model

    def validate(self, model: torch.fx.GraphModule) -> None:
        """Every annotation is one that the accelerator can have."""

    def prepare_obs_or_fq_callback(self, *_: Any) -> None:
        """Observers are as the specifications say."""

    # -- decisions --------------------------------------------------------------------------------

    def _kept(self, node: torch.fx.Node) -> bool:
        name = layer_name(node)
        found = [pattern for pattern in self.keep_float if fnmatch.fnmatchcase(name, pattern)]
        self.unmatched -= {*found}
        return bool(found)

    def _is_quantised(self, node: Any) -> bool:
        """Whether a value is kept as int8 anyway; an input may be."""
        note = node.meta.get("quantization_annotation")
        return node.op == "placeholder" or (note is not None and note.output_qspec is not None)

    def _annotate(self, node: torch.fx.Node, inputs: dict[Any, Any], end: torch.fx.Node) -> None:
        """`node` .. `end` are one step: nothing between them is quantised."""
        kind = self._kinds.QuantizationAnnotation
        if node is not end:
            node.meta["quantization_annotation"] = kind(input_qspec_map=inputs, _annotated=True)
            inputs = {}
        end.meta["quantization_annotation"] = kind(
            input_qspec_map=inputs, output_qspec=self._activation, _annotated=True
        )
        self._taken |= {node, end}

    def _annotate_shared(self, node: torch.fx.Node, sources: list[torch.fx.Node]) -> None:
        shared = self._kinds.SharedQuantizationSpec((sources[0], node))
        inputs = dict.fromkeys(sources, shared) | {sources[0]: self._activation}
        node.meta["quantization_annotation"] = self._kinds.QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=shared, _annotated=True
        )
        self._taken.add(node)

    def _end(self, node: torch.fx.Node) -> torch.fx.Node:
        """`node`, or the clamp that alone reads it."""
        users = list(node.users)
        if len(users) == 1 and op_of(users[0]) == "clamp" and not self._kept(users[0]):
            return users[0]
        return node

    def _annotate_product(self, node: torch.fx.Node) -> None:
        """A product, what is added to it, and the clamp behind."""
        inputs = {node.args[0]: self._activation, node.args[1]: self._weights}
        users = list(node.users)
        if len(users) == 1 and op_of(users[0]) == "add" and self._may_add(node, users[0]):
            add = users[0]
            other = next(a for a in add.args[:2] if a is not node)
            kind = self._kinds.QuantizationAnnotation
            node.meta["quantization_annotation"] = kind(input_qspec_map=inputs, _annotated=True)
            self._taken.add(node)
            self._annotate(add, {other: self._activation}, self._end(add))
            return
        self._annotate(node, inputs, self._end(node))

    def _may_add(self, node: torch.fx.Node, add: torch.fx.Node) -> bool:
        """Whether the other summand is there before the product, which nothing has taken yet."""
        others = [a for a in add.args[:2] if a is not node]
        if len(others) != 1 or add in self._taken or self._kept(add) or not _is_plain_add(add):
            return False
        return self._order[others[0]] < self._order[node]


def _shape(node: Any) -> tuple[int, ...] | None:
    value = node.meta.get("val") if isinstance(node, torch.fx.Node) else None
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _is_map(node: Any) -> bool:
    shape = _shape(node)
    return shape is not None and len(shape) == 4


def _is_plain_add(node: torch.fx.Node) -> bool:
    """Whether two tensors of one shape are added, without a factor."""
    a, b = node.args[:2]
    shapes = {_shape(a), _shape(b), _shape(node)}
    return len(shapes) == 1 and None not in shapes and node.kwargs.get("alpha", 1) == 1


def has_quantisation(exported: torch.export.ExportedProgram) -> bool:
    """Whether a graph holds int8 already."""
    return any(
        "quantize_per_" in str(node.target) for node in exported.graph.nodes
        if node.op == "call_function"
    )  # fmt: skip


def quantise_exported(
    exported: torch.export.ExportedProgram,
    calibration: Iterable[Sequence[torch.Tensor]],
    keep_float: Sequence[str] = (),
    on_sample: Callable[[int], None] = lambda n: None,
    rough: bool = False,
) -> tuple[torch.fx.GraphModule, torch.fx.GraphModule]:
    """The graph of `exported` with its int8 in it, as ``convert_pt2e`` writes it, and in float.

    In the second one batch norm is folded as in the first, and nodes have the same names.

    Parameters
    ----------
    exported : for a batch of one
    calibration : inputs of the model, one example each
    keep_float : names or patterns of layers that stay in float
    on_sample : called after each example
    rough : as few examples, see :class:`WeftQuantizer`; products are not corrected either.

    Raises
    ------
    UsageError
        There is no example, or a pattern of `keep_float` names no layer.
    """
    _, flow, _ = _torchao()
    examples = iter(calibration)
    first = list(itertools.islice(examples, _MANY))
    quantizer = WeftQuantizer(keep_float, rough or len(first) < _MANY)
    with quietly(), torch.no_grad():
        prepared = flow.prepare_pt2e(exported.module(), quantizer)
        if quantizer.unmatched:
            name = sorted(quantizer.unmatched)[0]
            raise UsageError(
                f"keep_float: no layer is named {name!r}", "see weft explain for their names"
            )
        count, kept = 0, []
        for count, inputs in enumerate(itertools.chain(first, examples), 1):
            prepared(*inputs)
            on_sample(count)
            if count <= _CORRECTED:
                kept.append(inputs)
        if not count:  # torchao would take a scale of 1 without a word
            raise UsageError(
                "quantisation needs calibration data, there are none", "give some typical inputs"
            )
        floats = copy.deepcopy(prepared)
        module = flow.convert_pt2e(prepared)
        if not rough:
            correct_products(module, floats, kept)
        return module, floats


def examples_of(batches: Iterable[Any], count: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Single examples of `batches`, which a batch-1 graph can take.

    Parameters
    ----------
    batches : a tensor [B, ...], a tuple of tensors, or (tensors, label) pairs, each a batch
    count : inputs of the model; what follows them in a batch, labels, is left out.
    """
    for batch in batches:
        parts = (batch,) if isinstance(batch, torch.Tensor) else tuple(batch)[:count]
        found = check_inputs("calibration inputs", parts)
        for i in range(len(found[0])):
            yield tuple(x[i : i + 1] for x in found)
