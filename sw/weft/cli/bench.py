"""``weft bench``: measured products, each equal to torch-int."""

from __future__ import annotations

from typing import Annotated

import typer

from weft.errors import UsageError

from . import bench_model
from .options import Backend, Json, Preset, Seed, WholeClock, find_preset
from .output import number, print_json, print_table, progress

__all__ = ["app"]

app = typer.Typer(help="Measure operations; every result is compared with torch-int.")


@app.callback()
def _root() -> None:
    pass


app.command("model")(bench_model.command)


@app.command("gemm")
def gemm(
    preset: Preset,
    shapes: Annotated[str, typer.Option("--shapes", help="MxKxN, several with commas.")],
    backend: Backend = "rtl",
    clock: WholeClock = 0,
    latency_factor: Annotated[
        int, typer.Option("--latency-factor", min=1, help="Multiply the DRAM latencies.")
    ] = 1,
    result: Annotated[str, typer.Option("--result", help="int8, int16 or int32.")] = "int8",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Matrix products [M, K] x [K, N] with random operands, on rtl or emulator."""
    from weft.measure.bench import GemmBench, parse_shapes, random_runs

    config = find_preset(preset)
    if result not in ("int8", "int16", "int32"):
        raise UsageError(f"--result must be int8, int16 or int32, not {result!r}")
    sizes = parse_shapes(shapes)
    with progress(f"opening {backend} {config.name} (the first build takes minutes)") as say:
        bench = GemmBench(
            config,
            backend,
            clock_mhz=clock or None,
            latency_factor=latency_factor,
            progress=lambda text: say(0, text=text),
        )
    with progress("running", len(sizes)) as advance:
        results = random_runs(
            bench, sizes, result, seed, lambda r: advance(1, text=f"{r.m}x{r.k}x{r.n}")
        )
    bench.close()
    if json:
        print_json(
            "bench-gemm",
            results,
            config=config,
            clock_mhz=bench.clock_mhz,
            memory_model=bench.memory_model.hash,
            seed=seed,
        )
        return
    print_table(
        f"{config.name} ({config.hash}) on {backend}, memory {bench.memory_model.name} "
        f"({bench.memory_model.hash}), {result} results",
        results,
        {
            "M x K x N": lambda r: f"{r.m} x {r.k} x {r.n}",
            "cycles": lambda r: number(r.cycles, ","),
            "roofline": lambda r: f"{r.roofline_cycles:,.0f}",
            "attainment": lambda r: number(r.attainment, ".3f"),
            "predicted": lambda r: f"{r.predicted_cycles:,}",
            "error": lambda r: number(r.model_error, "+.1%"),
            "MAC use hw": lambda r: number(r.hw_mac_utilisation, ".3f"),
            "network": lambda r: number(r.network_mac_utilisation, ".3f"),
            "KB read": lambda r: f"{r.bytes_read / 1000:,.1f}",
            "KB written": lambda r: f"{r.bytes_written / 1000:,.1f}",
            "conflicts": lambda r: r.bank_conflicts,
            "exact": lambda r: "yes" if r.exact else "NO",
            "sim. cycles/s": lambda r: number(r.simulated_cycles_per_second, ",.0f"),
        },
    )
