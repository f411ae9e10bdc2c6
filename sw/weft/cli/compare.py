"""``weft compare``: the same sentences on accelerator, CPU and GPU."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError
from weft.files.outputs import check_writable, write_file
from weft.results import plain
from weft.tools import require_simulator

from . import options
from .output import machine, number, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.backend.opening import Where
    from weft.measure.compare import BackendResult
    from weft_hw.config import AcceleratorConfig

__all__ = ["command", "demo"]


def command(
    model: options.Model,
    text: Annotated[list[str], typer.Option("--text", help="A sentence; repeatable.")] = [],
    file: Annotated[Path | None, typer.Option("--file", help="One text per line, UTF-8.")] = None,
    backends: Annotated[
        str, typer.Option("--backends", help="Separated by commas; pynq too, with --host.")
    ] = "rtl,emulator,torch-int,torch-cpu,torch-cuda",
    preset: options.Preset = "pynq-z2",
    scheme: options.Scheme = "static",
    keep_float: options.KeepFloat = [],
    save_gpu: Annotated[
        Path | None,
        typer.Option("--save-gpu", help="Write what was measured on a GPU to this JSON file."),
    ] = None,
    weights: options.Weights = None,
    overlay: options.Overlay = None,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Run sentences as one batch on each backend and say exactly what ran where."""
    options.known_model(model)
    from weft.models.sentence import read_texts

    texts = list(text)
    if file is not None:
        texts += read_texts(file.read_bytes(), str(file))
    if not texts:
        raise UsageError("there is no text", "give --text SENTENCE or --file FILE")
    if save_gpu is not None:
        check_writable(save_gpu)
    results = _run(
        texts,
        options.find_preset(preset),
        [name.strip() for name in backends.split(",")],
        scheme=scheme,
        keep_float=keep_float,
        weights=weights,
        board=(overlay, host, port),
        json=json,
    )
    if save_gpu is not None:
        measured = [plain(r) for r in results if r.device is not None and r.label == "measured"]
        write_file(save_gpu, json_module.dumps(measured, indent=1) + "\n")


def demo(
    preset: options.Preset = "pynq-z2",
    sentence: Annotated[
        str, typer.Option("--sentence", help="Another sentence than the built-in one.")
    ] = "",
    weights: options.Weights = None,
    json: options.Json = False,
) -> None:
    """A whole sentence through MiniLM on the RTL, the emulator and torch: equal bit for bit."""
    from weft.models.minilm import SENTENCE

    config = options.find_preset(preset)
    require_simulator()
    text = sentence or SENTENCE
    _run([text], config, ["torch-cpu", "torch-int", "emulator", "rtl"], weights=weights, json=json)
    if not json:
        print(f'"{text}"')
        print("Every element of every linear layer is equal on RTL, emulator and torch-int.")


def _run(
    texts: list[str],
    config: AcceleratorConfig,
    backends: list[str],
    *,
    scheme: str = "static",
    keep_float: Sequence[str] = (),
    weights: Path | None = None,
    board: Where | None = None,
    json: bool,
) -> list[BackendResult]:
    """Compare, print what came out, and give it back."""
    from weft.dram import memory_of
    from weft.measure.compare import compare
    from weft.models.sentence import SentenceModel

    here = machine()
    with progress("loading MiniLM") as say:
        results = compare(
            SentenceModel(weights),
            texts,
            config,
            backends,
            host=str(here),
            scheme=scheme,
            keep_float=keep_float,
            board=board,
            say=lambda what: say(0, text=what),
        )
    if json:
        print_json(
            "compare",
            results,
            config=config,
            clock_mhz=config.clock_mhz,
            memory_model=memory_of(config).hash,
        )
        return results
    tokens = next((r.tokens for r in results if r.tokens), 0)
    print_table(
        f"all-MiniLM-L6-v2, {len(texts)} texts, {tokens} tokens, {config.name} at "
        f"{config.clock_mhz} MHz; accelerator times are of the linear layers only",
        results,
        {
            "backend": lambda r: r.backend,
            "label": lambda r: r.label,
            "variant": lambda r: r.variant,
            "accelerator ms": lambda r: number(r.accelerator_ms, ".3f"),
            "host ms": lambda r: number(r.host_ms, ".2f"),
            "transfer ms": lambda r: number(r.transfer_ms, ".3f"),
            "end to end ms": lambda r: number(r.end_to_end_ms, ".2f"),
            "cycles": lambda r: number(r.cycles, ","),
            "attainment": lambda r: number(r.attainment, ".3f"),
            "DRAM KB": lambda r: number(_kilobytes(r.bytes_read, r.bytes_written), ",.0f"),
            "cosine": lambda r: number(r.cosine_mean, ".4f"),
            "= torch-int": lambda r: {True: "yes", None: None}.get(r.exact, "no"),
        },
        left=3,
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
    return results


def _kilobytes(read: int | None, written: int | None) -> float | None:
    return None if read is None or written is None else (read + written) / 1000
