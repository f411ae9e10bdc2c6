"""Sentences to vectors with all-MiniLM-L6-v2, in float or with accelerated linear layers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.quantise.model import QuantisedGraph, quantise
from weft.errors import UsageError

from . import minilm
from .texts import calibration_sentences

if TYPE_CHECKING:
    from weft.backend.base import Backend
    from weft.runtime.accelerate import Accelerated

__all__ = ["BATCH", "RESULTS", "SCHEMES", "SentenceModel", "read_texts"]

#: Sentences of one pass through the model, hence of one product per layer.
BATCH = 32
#: Result types: the layers in front of a residual sum need more than int8.
RESULTS = {"encoder.layer.*." + path: kind for _, path, kind in minilm.LAYERS}
#: Ways to quantise: ranges from the calibration, scales per row at run time, and neither migration
#: nor wide results.
SCHEMES = ("static", "per-row", "plain")


def read_texts(data: bytes, name: str) -> list[str]:
    """One text per line of `data`; raises UsageError with the line that is at fault."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{name} is not UTF-8 text: byte {error.start}, in line {line}", "save it as UTF-8"
        ) from None
    if not any(line.strip() for line in lines):
        raise UsageError(f"{name} holds no text", "give one text per line")
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None:
        raise UsageError(f"line {empty} of {name} is empty", "give one text per line")
    return lines


class SentenceModel:
    """The model with its tokenizer.

    Parameters
    ----------
    folder : Path, optional
        As :func:`weft.models.minilm.find_weights` takes it.

    Raises
    ------
    ToolMissing, UsageError, Mismatch
        As :func:`weft.models.minilm.load`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.tokenizer, self.model = minilm.load(folder)
        self.limit = int(self.model.config.max_position_embeddings)
        #: Seconds of wall time in :meth:`embed` since the model was made or :meth:`reset` called.
        self.seconds = 0.0
        #: Rows that went through the linear layers since then, padding of the batches included.
        self.rows = 0

    def reset(self) -> None:
        """Forget the measurements."""
        self.seconds, self.rows = 0.0, 0

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, markers included.

        Raises
        ------
        UsageError
            A text is empty or too long; the sentence says which.
        """
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise UsageError(f"text {number} is empty", "give some words")
        with minilm.quiet():
            ids = self.tokenizer(list(texts))["input_ids"]
        for number, one in enumerate(ids, 1):
            if len(one) > self.limit:
                raise UsageError(
                    f"text {number} has {len(one)} tokens, the model takes {self.limit}",
                    "divide it into shorter texts",
                )
        return [len(one) for one in ids]

    def batch(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the model takes for `texts`, padded to the longest."""
        with minilm.quiet():
            return dict(self.tokenizer(list(texts), return_tensors="pt", padding=True))

    def embed(
        self,
        texts: Sequence[str],
        batch: int = BATCH,
        on_batch: Callable[[int], None] = lambda texts: None,
    ) -> NDArray[np.float32]:
        """Vectors of length 1, float32 [texts, 384]: the mean over the tokens of each text.

        Parameters
        ----------
        texts : sequence of str, at least one
        batch : int, >= 1
            Texts that go through the model together; texts of like length are put together.
        on_batch : called with the number of texts of each batch.
        """
        import torch

        lengths = self.tokens(texts)
        order = sorted(range(len(texts)), key=lambda i: lengths[i])
        vectors = np.zeros((len(texts), int(self.model.config.hidden_size)), np.float32)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            started = time.perf_counter()
            inputs = self.batch([texts[i] for i in chosen])
            with torch.no_grad():
                vectors[chosen] = pool(self.model, inputs).numpy()
            self.seconds += time.perf_counter() - started
            self.rows += inputs["input_ids"].numel()
            on_batch(len(chosen))
        return vectors

    def quantise(
        self,
        scheme: str = "static",
        keep_float: Sequence[str] = (),
        progress: Callable[[str], None] = lambda text: None,
    ) -> QuantisedGraph:
        """The linear layers in integers, calibrated on our own sentences.

        Parameters
        ----------
        scheme : "static", "per-row" or "plain"
        keep_float : names or patterns of layers that stay on the host
        """
        if scheme not in SCHEMES:
            raise UsageError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
        plain = scheme == "plain"
        return quantise(
            self.model,
            [self.batch([text]) for text in calibration_sentences()],
            per_row=scheme == "per-row",
            migrate=not plain,
            result="int8" if plain else None,
            results=None if plain else RESULTS,
            keep_float=keep_float,
            progress=progress,
        )

    def swap(self, quantised: QuantisedGraph, device: Backend[Any]) -> Accelerated:
        """Let the linear layers run on `device`; see :func:`weft.runtime.accelerate.swap`."""
        from weft.runtime.accelerate import swap

        return swap(self.model, quantised, device)


def pool(model: Any, inputs: dict[str, Any]) -> Any:
    """Vectors of length 1, a tensor [texts, hidden], of a batch."""
    hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return mean / mean.norm(dim=1, keepdim=True)
