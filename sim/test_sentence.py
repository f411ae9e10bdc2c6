"""A whole sentence through MiniLM on the Verilated pynq-z2: the demo, as a user runs it."""

from __future__ import annotations

import json

import pytest

from weft.cli import main
from weft.tools import PACKAGES

pytestmark = [
    pytest.mark.sim,
    pytest.mark.skipif(
        any(p.version() is None for p in PACKAGES if p.extra in ("minilm", "torch")),
        reason="the extra weft[minilm] is not installed",
    ),
]

#: Twelve tokens, the two markers included.
SENTENCE = "The weft crosses the warp at right angles."


def test_demo_of_twelve_tokens(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--sentence", SENTENCE, "--json"])
    assert caught.value.code == 0
    cpu, torch_int, emulator, rtl = json.loads(capsys.readouterr().out)["results"]
    assert cpu["tokens"] == 12 and rtl["gemms"] == 36
    assert torch_int["exact"] is None, "it is what the others are compared with"
    assert emulator["exact"] and rtl["exact"]
    assert rtl["label"] == "simulated" and rtl["cycles"] > 0
    # The same integers give the same vectors, to the last bit of the cosine.
    assert torch_int["cosine_min"] == emulator["cosine_min"] == rtl["cosine_min"] > 0.98
