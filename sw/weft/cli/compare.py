"""``weft compare``: the same sentences on accelerator, CPU and GPU."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError
from weft.results import plain

from .options import (
    Host,
    Json,
    KeepFloat,
    Model,
    Overlay,
    Port,
    Preset,
    Scheme,
    Weights,
    find_preset,
    known_model,
    read_bytes,
)
from .output import machine, number, print_json, print_table, progress, write_bytes

if TYPE_CHECKING:
    from weft.measure.compare import BackendResult

__all__ = ["command"]


def command(
    model: Model,
    text: Annotated[
        list[str], typer.Option("--text", help="A sentence; repeatable.")
    ] = [],
    file: Annotated[
        Path | None, typer.Option("--file", help="One text per line, UTF-8.")
    ] = None,
    backends: Annotated[
        str, typer.Option("--backends", help="Separated by commas; pynq too, with --host.")
    ] = "rtl,emulator,torch-int,torch-cpu,torch-cuda",
    preset: Preset = "pynq-z2",
    scheme: Scheme = "static",
    keep_float: KeepFloat = [],
    save_gpu: Annotated[
        Path | None,
        typer.Option("--save-gpu", help="Write what was measured on a GPU to this JSON file."),
    ] = None,
    weights: Weights = None,
    overlay: Overlay = None,
    host: Host = "",
    port: Port = 7967,
    json: Json = False,
) -> None:
    """Run sentences as one batch on each backend and say exactly what ran where."""
    known_model(model)
    config = find_preset(preset)
    names = [name.strip() for name in backends.split(",")]
    from weft.backend.pynq.process import open_pynq
    from weft.dram import for_config
    from weft.measure.compare import compare
    from weft.models.sentence import SentenceModel, read_texts

    texts = list(text)
    if file is not None:
        texts += read_texts(read_bytes(file), str(file))
    if not texts:
        raise UsageError("there is no text", "give --text SENTENCE or --file FILE")
    here = machine()
    with progress("loading MiniLM") as say:
        results = compare(
            SentenceModel(weights),
            texts,
            config,
            names,
            host=str(here),
            scheme=scheme,
            keep_float=keep_float,
            board=lambda: open_pynq(config, overlay, host, port),
            say=lambda what: say(0, text=what),
        )
    if save_gpu is not None:
        measured = [plain(r) for r in results if r.device is not None and r.label == "measured"]
        write_bytes(save_gpu, (json_module.dumps(measured, indent=1) + "\n").encode())
    if json:
        print_json(
            "compare",
            results,
            config=config,
            clock_mhz=config.clock_mhz,
            memory_model=for_config(config).hash,
        )
        return
    tokens = next((r.tokens for r in results if r.tokens), 0)
    _show(
        f"all-MiniLM-L6-v2, {len(texts)} texts, {tokens} tokens, {config.name} at "
        f"{config.clock_mhz} MHz; accelerator times are of the linear layers only",
        results,
    )
    print(f"host: {here}")
    for r in results:
        if r.reason:
            print(f"{r.backend}: {r.reason}")
        if r.label == "stored":
            print(f"{r.backend} {r.variant}: measured on {r.device}, driver {r.driver}, {r.date}")
        if r.backend == "pynq" and r.device:
            where = "virtual " if r.label == "simulated" else ""
            print(f"pynq: {where}{r.device}, products driven by the real pynq package")


def _show(title: str, results: list[BackendResult]) -> None:
    print_table(
        title,
        (
            "backend",
            "label",
            "variant",
            "accelerator ms",
            "host ms",
            "transfer ms",
            "end to end ms",
            "cycles",
            "attainment",
            "DRAM KB",
            "cosine",
            "= torch-int",
        ),
        [
            (
                r.backend,
                r.label,
                r.variant,
                number(r.accelerator_ms, ".3f"),
                number(r.host_ms, ".2f"),
                number(r.transfer_ms, ".3f"),
                number(r.end_to_end_ms, ".2f"),
                number(r.cycles, ","),
                number(r.attainment, ".3f"),
                None
                if r.bytes_read is None or r.bytes_written is None
                else f"{(r.bytes_read + r.bytes_written) / 1000:,.0f}",
                number(r.cosine_mean, ".4f"),
                {True: "yes", None: None}.get(r.exact, "no"),
            )
            for r in results
        ],
        left=3,
    )
