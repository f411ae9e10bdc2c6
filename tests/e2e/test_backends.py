"""The same graphs on every backend that runs here: equal in every element and every state."""

from __future__ import annotations

import pytest

from example_graphs import GRAPHS, check
from weft.backend.opening import BACKENDS, open_backend
from weft.tools import missing_for_simulation
from weft_hw.config import preset

pytestmark = [
    pytest.mark.sim,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing_for_simulation()), reason="; ".join(missing_for_simulation())),
]
#: The board has a test of its own, with the real pynq client: tests/board/test_graphs.py.
NAMES = [name for name, entry in BACKENDS.items() if entry.where != "board"]


@pytest.fixture(scope="module", params=NAMES)
def device(request):
    with open_backend(request.param, preset("tiny")) as opened:
        yield opened


@pytest.mark.parametrize("name", GRAPHS)
def test_every_backend_gives_the_same(device, name):
    check(device, name, preset("tiny"))
