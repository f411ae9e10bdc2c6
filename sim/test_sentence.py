"""A whole sentence through MiniLM on the Verilated pynq-z2, equal to the emulator bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from weft.tools import PACKAGES
from weft_hw.config import preset

pytestmark = [
    pytest.mark.sim,
    pytest.mark.skipif(
        any(p.version() is None for p in PACKAGES if p.extra in ("minilm", "torch")),
        reason="the extra weft[minilm] is not installed",
    ),
]

#: Twelve tokens, the two markers included.
SENTENCE = "The weft crosses the warp at right angles."


def test_sentence_of_twelve_tokens():
    from weft.models.sentence import SentenceModel

    model = SentenceModel()
    assert model.tokens([SENTENCE]) == [12]
    log, vectors = {}, {}
    for backend in ("emulator", "rtl"):
        with model.accelerate(preset("pynq-z2"), backend) as fast:
            seen = log.setdefault(backend, {})
            fast.engine.record = lambda name, x, y, seen=seen: seen.__setitem__(name, y)
            vectors[backend] = model.embed([SENTENCE])
            runs = fast.engine.runs
    assert len(runs) == 36 and all(r.cycles for r in runs)
    for name, want in log["emulator"].items():
        assert np.array_equal(log["rtl"][name], want), name
    assert np.array_equal(vectors["rtl"], vectors["emulator"])
