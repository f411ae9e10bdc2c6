"""``weft evaluate``: what quantisation costs, on a retrieval set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError

from . import options
from .explain import show_choices
from .output import number, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.backend.opening import Where
    from weft_hw.config import AcceleratorConfig

__all__ = ["command"]


def command(
    model: options.AnyModel,
    preset: options.Preset = "pynq-z2",
    backend: options.Backend = "emulator",
    schemes: Annotated[
        str, typer.Option("--schemes", help="Ways to quantise, separated by commas.")
    ] = "static,per-row,plain",
    keep_float: options.KeepFloat = [],
    weights: options.Weights = None,
    data: options.Data = None,
    layers: Annotated[
        int, typer.Option("--layers", min=0, help="Examples that are compared layer by layer.")
    ] = 16,
    overlay: options.Overlay = None,
    host: options.Host = "",
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Compare the quantised model with float: minilm on 300 passages and 159 queries of Weft's own,
    a network on your data, whose layers are listed worst first.

    Backends are emulator, rtl, pynq and torch-int.
    """
    config = options.find_preset(preset)
    if model != "minilm":
        where = (overlay, host, port)
        _evaluate_network(model, config, backend, keep_float, data, layers, where, json)
        return
    names = [name.strip() for name in schemes.split(",")]
    from weft.measure.evaluate import evaluate
    from weft.models.sentence import SCHEMES, SentenceModel
    from weft.models.texts import retrieval

    for name in names:
        if name not in SCHEMES:
            raise UsageError(f"schemes are {', '.join(SCHEMES)}, not {name!r}")
    texts = retrieval()
    total = (len(texts.passages) + len(texts.queries)) * (1 + len(names))
    with progress("loading MiniLM", total) as advance:
        results = evaluate(
            SentenceModel(weights),
            texts,
            config,
            backend,
            names,
            keep_float=keep_float,
            board=(overlay, host, port),
            on_texts=lambda n, text: advance(n, text=text),
        )
    if json:
        print_json("evaluate", results, config=config)
        return
    first = results[0]
    show_choices(f"{first.scheme} on {config.name}", first.layers)
    print_table(
        f"{first.passages} passages, {first.queries} queries, calibrated on "
        f"{first.calibration_texts} other texts, linear layers on {backend}, against float32",
        results,
        {
            "scheme": lambda r: r.scheme,
            "mean cosine": lambda r: f"{r.cosine_mean:.4f}",
            "minimum": lambda r: f"{r.cosine_min:.4f}",
            "1 %": lambda r: f"{r.cosine_p1:.4f}",
            "10 %": lambda r: f"{r.cosine_p10:.4f}",
            "median": lambda r: f"{r.cosine_median:.4f}",
            "top-1 as float": lambda r: f"{r.top1_agreement:.3f}",
            "top-10 as float": lambda r: f"{r.top10_agreement:.3f}",
            "right answers": lambda r: f"{r.answers_top1:.3f}",
            "right in float": lambda r: f"{r.float_answers_top1:.3f}",
        },
    )


def _evaluate_network(
    model: str,
    config: AcceleratorConfig,
    backend: str,
    keep_float: list[str],
    data: str | None,
    layers: int,
    where: Where,
    json: bool,
) -> None:
    from weft.backend.opening import known_backend
    from weft.dram import memory_of
    from weft.measure.accuracy import evaluate_network
    from weft.models.find import find_model
    from weft.runtime.compile import build, plan_network, quantised_network

    known_backend(backend)
    found = find_model(model, data)
    with progress(f"compiling {found.name}") as say:

        def tell(_: int, text: str) -> None:
            say(0, text=text)

        network, floats = quantised_network(
            found.model,
            found.inputs,
            calibration=found.calibration,
            keep_float=keep_float,
            progress=tell,
        )
        if floats is None:
            raise UsageError(
                f"{found.name} is quantised already, there is no float model beside it",
                "evaluate the model that it was made of",
            )
        sources = {op.output: op.inputs[0] for op in network.operators if op.op == "quantise"}
        plan = plan_network(network, config, memory_of(config), progress=tell)
        compiled = build(plan, tell)
        running = compiled.open(backend, board=where, progress=lambda text: say(0, text=text))
    with running, progress("running examples") as advance:
        result = evaluate_network(
            found.name,
            plan,
            compiled,
            running,
            floats,
            sources,
            found.batches(),
            layer_examples=layers,
            on_example=lambda n: advance(1, text=f"{n} examples"),
        )
    if json:
        print_json("evaluate-network", [result], config=config)
        return
    note = f" ({found.note})" if found.note else ""
    answers = ""
    if result.accuracy is not None and result.float_accuracy is not None:
        answers = f"{result.accuracy:.2%} right, {result.float_accuracy:.2%} in float; "
    snr = number(result.snr_db, ".1f")
    print(
        f"{found.name}{note}, {result.examples} examples on {backend}: {answers}the same answer as "
        f"float in {result.top1_agreement:.2%}, cosine {result.cosine_mean:.4f} (least "
        f"{result.cosine_min:.4f}), largest error {result.max_error:.4g}, {snr or 'no'} dB"
    )
    print_table(
        f"signal to noise by layer, worst first, {result.layer_examples} examples",
        result.layers,
        {
            "layer": lambda r: r.name,
            "op": lambda r: r.op,
            "SNR, dB": lambda r: number(r.snr_db, ".1f"),
        },
        left=2,
    )
