"""``weft bench model``: a network on a backend, layer by layer."""

from __future__ import annotations

from weft.errors import UsageError

from .options import Backend, Data, Json, KeepFloat, Network, Preset, Seed, find_preset
from .output import number, print_json, print_table, progress

__all__ = ["command"]


def command(
    model: Network,
    preset: Preset = "pynq-z2",
    backend: Backend = "rtl",
    keep_float: KeepFloat = [],
    data: Data = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Run a network on rtl or emulator: each layer by itself, then the whole; compare every element
    with torch-int."""
    from weft.backend.opening import SIMULATED
    from weft.dram import memory_of
    from weft.measure.model import bench_model
    from weft.models.find import find_model
    from weft.runtime.compile import build

    from .compile import planned

    if backend not in SIMULATED:
        raise UsageError(f"backend must be {' or '.join(SIMULATED)}, not {backend!r}")
    config = find_preset(preset)
    found = find_model(model, data)
    plan = planned(found, config, keep_float)
    with progress("writing programs") as say:
        compiled = build(plan, lambda done, text: say(0, text=text))
    inputs = found.example(seed)
    ports = compiled.artefact.inputs
    with progress(f"opening {backend} {config.name} (the first build takes minutes)") as say:
        running = compiled.open(backend, progress=lambda text: say(0, text=text))
    layers = len(compiled.explain()) + 1
    with running, progress("running the model", layers) as advance:
        results = bench_model(
            compiled,
            running,
            {port.name: x for port, x in zip(ports, inputs)},
            memory_of(config),
            lambda result: advance(1, text=result.name),
        )
    if json:
        print_json(
            "bench-model",
            results,
            config=config,
            clock_mhz=config.clock_mhz,
            memory_model=memory_of(config).hash,
            seed=seed,
        )
        return
    note = f", {found.note}" if found.note else ""
    total = results[-1]
    time = "" if total.cycles is None else f", {total.cycles / config.clock_mhz / 1000:,.2f} ms"
    print_table(
        f"{found.name} on {backend}, {config.name} ({config.hash}), {config.clock_mhz} MHz{note}: "
        f"{total.macs:,} MACs{time} simulated; layers by themselves, the total as it runs",
        results,
        {
            "layer": lambda r: r.name,
            "op": lambda r: r.op,
            "where": lambda r: "chip" if r.where == "accelerator" else r.where,
            "MACs": lambda r: number(r.macs or None, ","),
            "cycles": lambda r: number(r.cycles, ","),
            "roofline": lambda r: number(r.roofline_cycles, ",.0f"),
            "attainment": lambda r: number(r.attainment, ".3f"),
            "MAC use hw": lambda r: number(r.hw_mac_utilisation, ".3f"),
            "network": lambda r: number(r.network_mac_utilisation, ".3f"),
            "predicted": lambda r: number(r.predicted_cycles, ","),
            "KB read": lambda r: None if r.bytes_read is None else f"{r.bytes_read / 1000:,.1f}",
            "written": lambda r: (
                None if r.bytes_written is None else f"{r.bytes_written / 1000:,.1f}"
            ),
            "exact": lambda r: None if r.exact is None else "yes",
        },
        left=3,
    )
