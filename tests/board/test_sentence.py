"""A whole MiniLM sentence through the pynq driver equals the emulator bit for bit."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from virtual_boards import host, serve
from weft.backend.pynq_process import PynqProcess
from weft.sentence.model import SentenceModel
from weft_hw.config import preset

pytestmark = [pytest.mark.sim, pytest.mark.slow]

#: Twelve tokens with the markers.
SENTENCE = "An accelerator for small boards multiplies many integers"


@pytest.mark.timeout(1200)
def test_twelve_tokens(tmp_path):
    config = preset("pynq-z2")
    model = SentenceModel()
    assert model.tokens([SENTENCE]) == [12]
    accelerated = model.accelerate(config)
    wanted = model.embed([SENTENCE])
    engine = accelerated.engine
    wanted_runs = len(engine.runs)
    with (
        serve("pynq-z2", host(5), tmp_path, config) as board,
        PynqProcess(board.bitstream, board.host, python=board.python) as device,
    ):
        emulator, engine._device = engine._device, device
        try:
            seconds = []
            for _ in range(2):
                start = time.perf_counter()
                found = model.embed([SENTENCE])
                seconds.append(time.perf_counter() - start)
                assert found.tobytes() == wanted.tobytes()
        finally:
            engine._device = emulator
    assert wanted_runs
    print(json.dumps({"seconds": seconds, "products": wanted_runs}))
    assert min(seconds) < 90
    assert np.isfinite(wanted).all()
