"""What emulator, RTL and torch-int run, the board runs: through the real pynq client."""

from __future__ import annotations

import pytest

from example_graphs import GRAPHS, check
from virtual_boards import CORES
from weft.backend.opening import open_backend
from weft.backend.pynq.load import PORT

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def device(served):
    where = (served.bitstream, served.host, PORT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        with open_backend("pynq", CORES[served.board], board=where) as opened:
            yield opened


@pytest.mark.parametrize("name", GRAPHS)
def test_the_board_gives_the_same(served, device, name):
    check(device, name, CORES[served.board])
