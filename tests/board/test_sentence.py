"""MiniLM through the pynq driver on the virtual PYNQ-Z2: exact, uploaded once, few accesses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from virtual_boards import HEAD, host, serve
from weft.backend.pynq.load import PORT
from weft.backend.pynq.process import PynqProcess
from weft.measure.compare import compare
from weft.models.sentence import SentenceModel
from weft_hw.config import preset
from weft_hw.registers import COUNTERS

pytestmark = [pytest.mark.sim, pytest.mark.slow]

#: Twelve tokens with the markers.
SENTENCE = "An accelerator for small boards multiplies many integers"
CONFIG = preset("pynq-z2")


def counts(board) -> dict[str, int]:
    code = """
from weft.backend.pynq.load import connect
print(connect(sys.argv[1]).read_file("/weft/counts").decode())
"""
    done = board.run(HEAD + code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(1200)
def test_twelve_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    model = SentenceModel()
    assert model.tokens([SENTENCE]) == [12]
    with serve("pynq-z2", host(5), tmp_path, CONFIG) as board:
        monkeypatch.setenv("WEFT_BITSTREAMS", str(tmp_path))  # the overlay is found there
        (found,) = compare(
            model,
            [SENTENCE],
            CONFIG,
            ["pynq"],
            host="here",
            board=(None, board.host, PORT),
        )
        assert (found.label, found.device, found.exact) == ("simulated", "Pynq-Z2", True)
        assert found.gemms == 36 and found.cycles and found.cosine_mean > 0.99

        device = PynqProcess(board.bitstream, board.host, python=board.python)
        with model.swap(model.quantise(), device) as accelerated:
            vectors = [model.embed([SENTENCE])]
            session = accelerated.session
            first, before = len(session.runs), counts(board)
            vectors.append(model.embed([SENTENCE]))
            after = counts(board)
        np.testing.assert_array_equal(vectors[0], vectors[1])
        spent = {name: after[name] - before.get(name, 0) for name in after}
        runs = session.runs[first:]
        assert len(runs) == 36

        def pages(size: int) -> int:
            return -(-size // 4096) * 4096

        # Rows are padded to 16 bytes; all of K and N here are multiples of that.
        inputs = sum(pages(r.padded_m * r.k) for r in runs)
        assert spent["buffer_bytes_written"] == inputs
        # Results have 1, 2 or 4 bytes; the model's weights alone are 10.6 million bytes.
        outputs = [[pages(r.padded_m * r.n * size) for size in (1, 2, 4)] for r in runs]
        assert sum(map(min, outputs)) <= spent["buffer_bytes_read"] <= sum(map(max, outputs))
        # Four registers of each program differ from the one before it; eight belong to a run,
        # and the session reads the counters after each.
        accesses = spent["register_reads"] + spent["register_writes"]
        assert accesses <= 36 * (12 + 4 + len(COUNTERS)), accesses


def test_a_board_that_is_not_there_is_absent():
    where = (None, "127.0.0.1", 1)
    (found,) = compare(
        SentenceModel(), ["Thread."], preset("tiny"), ["pynq"], host="here", board=where
    )
    assert found.label == "absent"
    assert found.reason and found.reason.startswith("no board answers at 127.0.0.1, port 1")
