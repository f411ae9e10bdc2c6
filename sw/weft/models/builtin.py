"""The built-in networks by name: the only list of them. torch is imported when one is made."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from weft.errors import UsageError

__all__ = ["MODELS", "BuiltIn", "builtin"]

#: Values of the examples that give batch norm its statistics, and how many examples at most.
_VALUES, _EXAMPLES = 1 << 19, 8


@dataclass(frozen=True)
class BuiltIn:
    """A network.

    Parameters
    ----------
    name : as the command line takes it
    about : what it is for, and where its shape comes from
    shape : of its input, a batch of one
    parameters, macs : how many it has, and how many multiply-accumulates one example needs
    place : module and name of the class in :mod:`weft.models.cnn`
    arguments : of the class
    pixels : (mean, std) that make inputs of pixels 0..255; None where they are no pictures.
    """

    name: str
    about: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    place: tuple[str, str]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pixels: tuple[float, float] | None = None

    def make(self, seed: int = 0) -> Any:
        """The torch module in eval mode, with random weights unless a package has trained ones.

        Random weights and statistics of batch norm follow from the seed, so that activations spread
        as those of a trained network do.
        """
        import torch

        if self.has_weights:
            return self._trained()
        module = importlib.import_module(f"weft.models.cnn.{self.place[0]}")
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            model = getattr(module, self.place[1])(**self.arguments)
            for part in model.modules():
                if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)):
                    torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                    if part.bias is not None:
                        torch.nn.init.normal_(part.bias, std=0.1)
            # A batch gives batch norm the statistics of these weights.
            for part in model.modules():
                if isinstance(part, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                    part.momentum = 1.0
            count = max(2, min(_EXAMPLES, _VALUES // math.prod(self.shape)))
            model.train()(self.examples(count, seed))
            return model.eval()

    def _trained(self) -> Any:
        from .imagenet import load_weights

        module = importlib.import_module(f"weft.models.cnn.{self.place[0]}")
        model = getattr(module, self.place[1])(**self.arguments)
        load_weights(model)
        return model.eval()

    @property
    def has_weights(self) -> bool:
        """Whether a package with trained weights is installed."""
        from .imagenet import has_weights

        return self.name == "efficientnet-lite0" and has_weights()

    def note(self, own_data: bool = False) -> str:
        """What its weights are, and its examples unless the user brings data."""
        if self.has_weights:
            return "ImageNet weights" + ("" if own_data else ", calibrated on two photographs")
        return "random weights" + ("" if own_data else " and inputs")

    def examples(self, count: int, seed: int = 0) -> Any:
        """float32 [count, ...], the same for each seed: of photographs where the weights are
        trained, else of normal noise."""
        import torch

        if self.has_weights:
            from .imagenet import photographs

            assert self.pixels is not None
            return photographs(count, self.shape[-1], self.pixels, seed)

        made = torch.Generator().manual_seed(seed)
        return torch.randn((count, *self.shape[1:]), generator=made)


_IMAGE = (1, 3, 224, 224)
#: Pixels as -1..1.
_CENTRED = (127.5, 127.5)
#: By name.
MODELS: Mapping[str, BuiltIn] = MappingProxyType(
    {
        model.name: model
        for model in (
            BuiltIn("digits", "handwritten digits of 8x8 pixels", (1, 1, 8, 8),
                    9_898, 215_168, ("tiny", "Digits"), pixels=(0.0, 255.0)),
            BuiltIn("autoencoder", "anomaly detection, MLPerf Tiny", (1, 640),
                    267_928, 264_192, ("tiny", "Autoencoder")),
            BuiltIn("ds-cnn", "keyword spotting, MLPerf Tiny", (1, 1, 49, 10),
                    23_180, 2_656_768, ("tiny", "DsCnn")),
            BuiltIn("mobilenet-v1-0.25", "visual wake words, MLPerf Tiny", (1, 3, 96, 96),
                    213_586, 7_489_664, ("mobilenet", "MobileNetV1"),
                    {"width": 0.25, "classes": 2}, _CENTRED),
            BuiltIn("resnet8", "CIFAR-10, MLPerf Tiny", (1, 3, 32, 32),
                    78_042, 12_501_632, ("resnet", "ResNet8"), pixels=_CENTRED),
            BuiltIn("mobilenet-v2", "ImageNet, arXiv:1801.04381", _IMAGE,
                    3_504_872, 300_774_272, ("mobilenet", "MobileNetV2"),
                    pixels=_CENTRED),
            BuiltIn("efficientnet-lite0", "ImageNet, B0 without squeeze-and-excitation", _IMAGE,
                    4_652_008, 385_187_552, ("efficientnet", "EfficientNetLite0"),
                    pixels=(127.0, 128.0)),
            BuiltIn("mobilenet-v1", "ImageNet, arXiv:1704.04861", _IMAGE,
                    4_231_976, 568_740_352, ("mobilenet", "MobileNetV1"),
                    pixels=_CENTRED),
            BuiltIn("resnet18", "ImageNet, arXiv:1512.03385", _IMAGE,
                    11_689_512, 1_814_073_344, ("resnet", "ResNet18"), pixels=_CENTRED),
        )
    }
)  # fmt: skip


def builtin(name: str) -> BuiltIn:
    """The network `name`; raises UsageError where there is none."""
    if name not in MODELS:
        raise UsageError(f"there is no built-in model {name!r}", f"there are {', '.join(MODELS)}")
    return MODELS[name]
