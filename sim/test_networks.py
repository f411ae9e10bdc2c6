"""Windows over maps on the Verilated top: equal to torch-int, as fast as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from random_maps import MapMaker, network, values_of
from weft.backend.rtl.backend import RtlBackend
from weft.backend.rtl.library import Stalls
from weft.compiler.graph.reference import TorchInt
from weft.compiler.graph.window import Window
from weft.compiler.lower.program import compile_graph
from weft.errors import Unsupported
from weft_hw.config import preset

pytestmark = pytest.mark.sim

#: Predicted against simulated cycles.
MODEL_ERROR = 0.05


@pytest.fixture(scope="module")
def devices():
    """``devices(preset)``: the RTL of a preset, once."""
    found: dict[str, RtlBackend] = {}

    def get(name: str) -> RtlBackend:
        if name not in found:
            found[name] = RtlBackend(preset(name), timeout_cycles=50_000_000)
        return found[name]

    yield get
    for rtl in found.values():
        rtl.close()


def run(rtl, graph, seed, stall=0.0):
    """Run a graph; its outputs are those of torch-int. (cycles, predicted cycles, macs)"""
    program = compile_graph(graph, rtl.config)
    given = values_of(graph, seed)
    rtl.load(program)
    rtl.simulation.set_stalls(Stalls.all(seed, stall))
    got, cycles = rtl.run(given), rtl.counters()["cycles"]
    rtl.unload()
    want, _ = TorchInt().run(graph, given)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=f"seed {seed}: {name} of\n{graph}")
    return cycles, program.metadata["predicted_cycles"], program.metadata["macs"]


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
    cycles, predicted, macs = run(rtl, graph, 5)
    share = macs / rtl.config.macs_per_cycle / cycles
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
        cycles, predicted, _ = run(rtl, maker.build(out), 6)
        error = predicted / cycles - 1
        request.config.weft_rates.append(
            f"pynq-z2 {op}: {cycles} cycles for {rows} rows, predicted {error:+.1%}"
        )
        moved = 0 if op != "add" else 3 * 56 * 56 * 64 / 17.85
        assert cycles <= 1.2 * max(rows, moved) + 1000
        assert abs(predicted / cycles - 1) <= MODEL_ERROR
