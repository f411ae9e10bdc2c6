"""The built-in networks by name: the only list of them. torch is imported when one is made."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from weft.errors import UsageError

__all__ = ["MODELS", "BuiltIn", "builtin"]

#: Examples that a network without data of its own is calibrated on.
EXAMPLES = 8


@dataclass(frozen=True)
class BuiltIn:
    """A network.

    Parameters
    ----------
    name : as the command line takes it
    about : what it is for, and where its shape comes from
    shape : of its input, a batch of one
    place : module and name of the class in :mod:`weft.models.cnn`
    arguments : of the class
    """

    name: str
    about: str
    shape: tuple[int, ...]
    place: tuple[str, str]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def make(self, seed: int = 0) -> Any:
        """The torch module in eval mode, with random weights.

        Weights and statistics of batch norm follow from the seed, so that activations spread as
        those of a trained network do.
        """
        import torch

        module = importlib.import_module(f"weft.models.cnn.{self.place[0]}")
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            model = getattr(module, self.place[1])(**self.arguments)
            for part in model.modules():
                if isinstance(part, (torch.nn.Conv2d, torch.nn.Linear)):
                    torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                    if part.bias is not None:
                        torch.nn.init.normal_(part.bias, std=0.1)
            # A few batches give batch norm the statistics of these weights.
            model.train()
            for _ in range(2):
                model(self.examples(EXAMPLES, seed))
            return model.eval()

    def examples(self, count: int, seed: int = 0) -> Any:
        """float32 [count, ...] of normal noise, the same for each seed."""
        import torch

        made = torch.Generator().manual_seed(seed)
        return torch.randn((count, *self.shape[1:]), generator=made)


_IMAGE = (1, 3, 224, 224)
#: By name.
MODELS: Mapping[str, BuiltIn] = MappingProxyType(
    {
        model.name: model
        for model in (
            BuiltIn("ds-cnn", "keyword spotting, MLPerf Tiny", (1, 1, 49, 10), ("tiny", "DsCnn")),
            BuiltIn("autoencoder", "anomaly detection, MLPerf Tiny", (1, 640),
                    ("tiny", "Autoencoder")),
            BuiltIn("digits", "digits of 8x8 pixels", (1, 1, 8, 8), ("tiny", "Digits")),
            BuiltIn("resnet8", "CIFAR, MLPerf Tiny", (1, 3, 32, 32), ("resnet", "ResNet8")),
            BuiltIn("resnet18", "ImageNet, arXiv:1512.03385", _IMAGE, ("resnet", "ResNet18")),
            BuiltIn("mobilenet-v1-0.25", "visual wake words, MLPerf Tiny", (1, 3, 96, 96),
                    ("mobilenet", "MobileNetV1"), {"width": 0.25, "classes": 2}),
            BuiltIn("mobilenet-v1", "ImageNet, arXiv:1704.04861", _IMAGE,
                    ("mobilenet", "MobileNetV1")),
            BuiltIn("mobilenet-v2", "ImageNet, arXiv:1801.04381", _IMAGE,
                    ("mobilenet", "MobileNetV2")),
            BuiltIn("efficientnet-lite0", "ImageNet, EfficientNet without squeeze-and-excitation",
                    _IMAGE, ("efficientnet", "EfficientNetLite0")),
        )
    }
)  # fmt: skip


def builtin(name: str) -> BuiltIn:
    """The network `name`; raises UsageError where there is none."""
    if name not in MODELS:
        raise UsageError(f"there is no built-in model {name!r}", f"there are {', '.join(MODELS)}")
    return MODELS[name]
