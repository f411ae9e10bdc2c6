"""``weft compare``: the same sentences on accelerator, CPU and GPU."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from weft.errors import UsageError
from weft.toolchain import require as require_simulator

from .files import read_bytes, write_bytes
from .minilm import HOST, OVERLAY, PORT, known_model
from .output import find_preset, machine, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.measure.compare import BackendResult
    from weft_hw.config import AcceleratorConfig

__all__ = ["command", "demo"]


def command(
    model: str = typer.Argument(..., help="minilm."),
    text: list[str] = typer.Option([], "--text", help="A sentence; repeatable."),
    file: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--file", help="One text per line, UTF-8."
    ),
    backends: str = typer.Option(
        "rtl,emulator,torch-int,torch-cpu,torch-cuda",
        "--backends",
        help="Separated by commas; pynq too, with --host.",
    ),
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    scheme: str = typer.Option("static", "--scheme", help="static, per-row or plain."),
    keep_float: list[str] = typer.Option(
        [], "--keep-float", help="Name or pattern of a layer that stays on the host; repeatable."
    ),
    save_gpu: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--save-gpu", help="Write what was measured on a GPU to this JSON file."
    ),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    overlay: Optional[Path] = OVERLAY,  # noqa: UP045  (typer reads it at run time)
    host: str = HOST,
    port: int = PORT,
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Run sentences as one batch on each backend and say exactly what ran where."""
    known_model(model)
    from weft.models.sentence import read_texts

    texts = list(text)
    if file is not None:
        texts += read_texts(read_bytes(file), str(file))
    if not texts:
        raise UsageError("there is no text", "give --text SENTENCE or --file FILE")
    results = _run(
        texts,
        find_preset(preset),
        [name.strip() for name in backends.split(",")],
        scheme=scheme,
        keep_float=keep_float,
        weights=weights,
        board=(overlay, host, port),
        json=json,
    )
    if save_gpu is not None:
        measured = [r.as_dict() for r in results if r.device is not None and r.label == "measured"]
        write_bytes(save_gpu, (json_module.dumps(measured, indent=1) + "\n").encode())


def demo(
    preset: str = typer.Option("pynq-z2", "--preset", help="Name of a preset; see weft presets."),
    sentence: str = typer.Option("", "--sentence", help="Another sentence than the built-in one."),
    weights: Optional[Path] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--weights", help="Folder of all-MiniLM-L6-v2 instead of the installed package."
    ),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """A whole sentence through MiniLM on the RTL, the emulator and torch: equal bit for bit."""
    from weft.models.minilm import SENTENCE

    config = find_preset(preset)
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
    board: tuple[Path | None, str, int] | None = None,
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
            host=f"{here['cpu']}, {here['cores']} cores",
            scheme=scheme,
            keep_float=keep_float,
            board=board,
            say=lambda what: say(0, text=what),
        )
    if json:
        print_json(
            "compare",
            [r.as_dict() for r in results],
            config=config,
            clock_mhz=config.clock_mhz,
            memory_model=memory_of(config).hash,
        )
        return results
    tokens = next((r.tokens for r in results if r.tokens), 0)
    _show(
        f"all-MiniLM-L6-v2, {len(texts)} texts, {tokens} tokens, {config.name} at "
        f"{config.clock_mhz} MHz; accelerator times are of the linear layers only",
        results,
    )
    print(f"host: {here['cpu']}, {here['cores']} cores")
    for r in results:
        if r.reason:
            print(f"{r.backend}: {r.reason}")
        if r.label == "stored":
            print(f"{r.backend} {r.variant}: measured on {r.device}, driver {r.driver}, {r.date}")
        if r.backend == "pynq" and r.device:
            where = "virtual " if r.label == "simulated" else ""
            print(f"pynq: {where}{r.device}, products driven by the real pynq package")
    return results


def _show(title: str, results: list[BackendResult]) -> None:
    def number(value: float | None, form: str) -> str | None:
        return None if value is None else format(value, form)

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
