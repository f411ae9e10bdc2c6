"""Sentences to vectors with all-MiniLM-L6-v2, in float or with accelerated linear layers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weft.compiler.quantise.model import QuantisedGraph, quantise
from weft.errors import AccuracyWarning, UsageError

from . import minilm
from .texts import calibration_sentences

if TYPE_CHECKING:
    from weft.backend.base import Backend
    from weft.runtime.accelerate import Accelerated

__all__ = [
    "BATCH",
    "MAX_TOKENS",
    "MOST_UNKNOWN",
    "RESULTS",
    "SCHEMES",
    "SentenceModel",
    "read_texts",
]

#: Sentences of one pass through the model, hence of one product per layer.
BATCH = 32
#: Tokens of a text that the model reads: max_seq_length of sentence-transformers/all-MiniLM-L6-v2.
MAX_TOKENS = 256
#: Tokens that the tokenizer puts around each text.
MARKERS = 2
#: Share of unknown tokens above which a text is refused.
MOST_UNKNOWN = 0.5
#: Result types: the layers in front of a residual sum need more than int8.
RESULTS = {"encoder.layer.*." + path: kind for _, path, kind in minilm.LAYERS}
#: Ways to quantise: ranges from the calibration, scales per row at run time, and neither migration
#: nor wide results.
SCHEMES = ("static", "per-row", "plain")


def read_texts(data: bytes, name: str) -> list[str]:
    """One text per line of `data`, UTF-8 with or without a byte order mark.

    A line ends at a line feed, or at carriage return and line feed, and nowhere else: form feeds
    and Unicode's own separators are part of a text.

    Raises
    ------
    UsageError
        It is something else, or a line is empty; the sentence says which.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{name} is not UTF-8 text: byte {error.start}, in line {line}", "save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UsageError(f"line {line} of {name} holds a zero byte", "save it as UTF-8 text")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
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
        #: Seconds of wall time in :meth:`embed` since the model was made or :meth:`reset` called.
        self.seconds = 0.0
        #: Rows that went through the linear layers since then, padding of the batches included.
        self.rows = 0

    def reset(self) -> None:
        """Forget the measurements."""
        self.seconds, self.rows = 0.0, 0

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text, markers included, at most MAX_TOKENS.

        Raises
        ------
        UsageError
            A text is empty, or most of its tokens are unknown to the model; the sentence says
            which.

        Warns
        -----
        AccuracyWarning
            Texts were cut after MAX_TOKENS tokens.
        """
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise UsageError(f"text {number} is empty", "give some words")
        with minilm.quiet():
            ids = self.tokenizer(list(texts))["input_ids"]
        for number, one in enumerate(ids, 1):
            unknown = one.count(self.tokenizer.unk_token_id) / max(1, len(one) - MARKERS)
            if unknown > MOST_UNKNOWN:
                raise UsageError(
                    f"{unknown:.0%} of the tokens of text {number} are unknown to the model, so "
                    "that its vector would say little of it",
                    "all-MiniLM-L6-v2 knows English; take a model of the text's language",
                )
        cut = [len(one) for one in ids if len(one) > MAX_TOKENS]
        if cut:
            warnings.warn(
                f"{len(cut)} of {len(ids)} texts have more than {MAX_TOKENS} tokens, up to "
                f"{max(cut)}; what follows is not read, as in the published model; divide them",
                AccuracyWarning,
                stacklevel=3,
            )
        return [min(len(one), MAX_TOKENS) for one in ids]

    def batch(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the model takes for `texts`, padded to the longest, cut after MAX_TOKENS."""
        with minilm.quiet():
            return dict(
                self.tokenizer(
                    list(texts), return_tensors="pt", padding=True, truncation=True,
                    max_length=MAX_TOKENS,
                )
            )

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
