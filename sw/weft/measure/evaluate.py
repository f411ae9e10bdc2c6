"""How much of the float model's answers survive quantisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.backend.opening import Where, open_backend
from weft.compiler.quantise.choose import Choice
from weft.models.sentence import SentenceModel
from weft.models.texts import Retrieval, calibration_sentences
from weft.results import Count, Share
from weft_hw.config import AcceleratorConfig

__all__ = ["Evaluation", "agreement", "evaluate"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """One scheme against float, over all passages and queries.

    cosine_* : between the vectors of a text; p1 and p10 are percentiles. top1_agreement : queries
    whose nearest passage is the one that float finds. top10_agreement : mean share of the ten
    nearest that float finds, too. answers_top1, float_answers_top1 : queries whose nearest passage
    is the one that answers them. rows : through each layer, padding of batches included.
    seconds : wall time of all texts on this host.
    """

    scheme: str
    backend: str
    passages: Count
    queries: Count
    calibration_texts: Count
    cosine_mean: float
    cosine_min: float
    cosine_p1: float
    cosine_p10: float
    cosine_median: float
    top1_agreement: Share
    top10_agreement: Share
    answers_top1: Share
    float_answers_top1: Share
    rows: Count
    seconds: float
    layers: tuple[Choice, ...]


def agreement(got: NDArray[Any], want: NDArray[Any], top: int) -> float:
    """Mean share of the `top` best of each row of `want`, float [queries, passages], in `got`'s."""
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :top] for scores in (got, want)]
    return float(np.mean([len(set(a) & set(b)) / top for a, b in zip(*map(list, best))]))


def evaluate(
    model: SentenceModel,
    texts: Retrieval,
    config: AcceleratorConfig,
    backend: str,
    schemes: Sequence[str],
    *,
    keep_float: Sequence[str] = (),
    board: Where | None = None,
    on_texts: Callable[[int, str], None] = lambda count, what: None,
) -> list[Evaluation]:
    """Evaluate `schemes`, each on all of `texts`; the float model is run once.

    Parameters
    ----------
    board : of the backend "pynq"; see :func:`weft.backend.opening.open_backend`
    on_texts : called with the number of texts done since the last call, and what runs.
    """

    def embed(what: str) -> tuple[Vectors, Vectors]:
        p, q = (
            model.embed(t, on_batch=lambda n: on_texts(n, what))
            for t in (texts.passages, texts.queries)
        )
        return p, q

    float_p, float_q = embed("float")
    want = float_q @ float_p.T
    answers = np.array(texts.answers)
    results = []
    for scheme in schemes:
        on_texts(0, f"{scheme}: calibrating")
        quantised = model.quantise(scheme, keep_float)
        device = open_backend(backend, config, board=board)
        with model.swap(quantised, device) as accelerated:
            model.reset()
            p, q = embed(scheme)
        cosine = np.concatenate([(p * float_p).sum(axis=1), (q * float_q).sum(axis=1)])
        got = q @ p.T
        p1, p10, median = (float(v) for v in np.percentile(cosine, [1, 10, 50]))
        results.append(
            Evaluation(
                scheme=scheme,
                backend=backend,
                passages=len(p),
                queries=len(q),
                calibration_texts=len(calibration_sentences()),
                cosine_mean=float(cosine.mean()),
                cosine_min=float(cosine.min()),
                cosine_p1=p1,
                cosine_p10=p10,
                cosine_median=median,
                top1_agreement=agreement(got, want, 1),
                top10_agreement=agreement(got, want, 10),
                answers_top1=float(np.mean(got.argmax(axis=1) == answers)),
                float_answers_top1=float(np.mean(want.argmax(axis=1) == answers)),
                rows=model.rows,
                seconds=model.seconds,
                layers=accelerated.choices,
            )
        )
    return results
