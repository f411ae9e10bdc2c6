"""Windows over maps on the Verilated top: equal to torch-int, as fast as they should be."""

from __future__ import annotations

import pytest

from maps import run
from random_maps import MapMaker, network
from weft.compiler.graph.window import Window
from weft.errors import Unsupported

pytestmark = pytest.mark.sim

#: Predicted against simulated cycles.
MODEL_ERROR = 0.05


@pytest.mark.parametrize("name", ["tiny", "tiny-wide", "pynq-z2"])
def test_random_networks(devices, seed, name):
    print(f"seeds {seed}..{seed + 19} on {name}")
    done = 0
    for number in range(20):
        graph = network(seed + number, nodes=5)
        try:
            run(devices(name), graph, seed + number, (0.0, 0.4)[number % 2])
        except Unsupported:
            assert name == "tiny-wide"
        else:
            done += 1
    assert done > 5


SAME = (1, 1, 1, 1)
#: Layers of ResNet-18 and MobileNetV1, smaller maps where that changes nothing: map, channels,
#: window, with a residual or not; least share of MAC slots that do useful work.
LAYERS = {
    "3x3x64 at 56": ((28, 56, 64), 64, Window((3, 3), padding=SAME), False, 0.93),
    "3x3x256 at 14": ((14, 14, 256), 128, Window((3, 3), padding=SAME), False, 0.93),
    "3x3x128 at 28, residual": ((28, 28, 128), 64, Window((3, 3), padding=SAME), True, 0.93),
    "3x3x512 at 7": ((7, 7, 512), 128, Window((3, 3), padding=SAME), False, 0.93),
    "7x7x3 at 224": ((68, 224, 3), 64, Window((7, 7), (2, 2), padding=(3,) * 4), False, 0.55),
    "1x1x512 at 14": ((14, 14, 512), 256, Window(), False, 0.93),
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", LAYERS)
def test_layers(devices, request, case):
    """At 100 MHz on a PYNQ-Z2, with the DRAM model on."""
    shape, outputs, window, has_residual, least = LAYERS[case]
    rtl, maker = devices("pynq-z2"), MapMaker(5)
    x = maker.input(shape)
    residual = maker.input((*window.output(*shape[:2]), outputs)) if has_residual else None
    graph = maker.build(maker.conv2d(x, outputs, window, residual))
    program, counters = run(rtl, graph, 5)
    cycles, predicted = counters["cycles"], program.metadata["predicted_cycles"]
    share = program.metadata["macs"] / rtl.config.macs_per_cycle / cycles
    request.config.weft_rates.append(
        f"pynq-z2 {case}: {cycles} cycles, network MAC utilisation {share:.3f}, predicted "
        f"{predicted / cycles - 1:+.1%}"
    )
    assert share >= least
    assert abs(predicted / cycles - 1) <= MODEL_ERROR


def test_pools_and_additions(devices, request):
    """A row of the scratchpad a cycle: 16 bytes of a pool's window, two of an addition's."""
    rtl = devices("pynq-z2")
    for op, window, rows in (
        ("max_pool", Window((3, 3), (2, 2), padding=SAME, value=-128), 9 * 28 * 28 * 4),
        ("avg_pool", Window((7, 7)), 49 * 50 * 50 * 4),
        ("add", None, 2 * 56 * 56 * 4),
    ):
        maker = MapMaker(6)
        x = maker.input((56, 56, 64))
        out = maker.add(x, maker.input((56, 56, 64))) if op == "add" else maker.pool(op, x, window)
        program, counters = run(rtl, maker.build(out), 6)
        cycles, predicted = counters["cycles"], program.metadata["predicted_cycles"]
        error = predicted / cycles - 1
        request.config.weft_rates.append(
            f"pynq-z2 {op}: {cycles} cycles for {rows} rows, predicted {error:+.1%}"
        )
        moved = 0 if op != "add" else 3 * 56 * 56 * 64 / 17.85
        assert cycles <= 1.2 * max(rows, moved) + 1000
        assert abs(predicted / cycles - 1) <= MODEL_ERROR
