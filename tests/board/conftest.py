"""Virtual boards, one of each kind for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from virtual_boards import CORES, Served, host, serve


@pytest.fixture(params=sorted(CORES), scope="module")
def served(request, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("overlay")
    with serve(request.param, host(1), folder, CORES[request.param]) as found:
        yield found


@pytest.fixture(scope="module")
def zcu104(tmp_path_factory) -> Iterator[Served]:
    with serve("zcu104", host(2), tmp_path_factory.mktemp("overlay"), CORES["zcu104"]) as found:
        yield found


@pytest.fixture
def small_memory(tmp_path) -> Iterator[Served]:
    with serve("zcu104", host(3), tmp_path, CORES["zcu104"], cma=65536) as found:
        yield found
