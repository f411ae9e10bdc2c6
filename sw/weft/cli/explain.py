"""``weft explain``: which operators run where, how they are quantised, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .options import AnyModel, Data, Json, KeepFloat, Preset, Scheme, Weights, find_preset
from .output import number, print_json, print_table, progress

if TYPE_CHECKING:
    from weft.compiler.quantise.choose import Choice
    from weft_hw.config import AcceleratorConfig

__all__ = ["command", "show_choices"]


def command(
    model: AnyModel,
    preset: Preset = "pynq-z2",
    scheme: Scheme = "static",
    keep_float: KeepFloat = [],
    weights: Weights = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Each operator: where it runs, why, and what it is predicted to take; of minilm, how each
    linear layer is quantised."""
    config = find_preset(preset)
    if model != "minilm":
        _explain_network(model, config, keep_float, data, json)
        return
    from weft.dram import memory_of
    from weft.models.sentence import SentenceModel
    from weft.runtime.session import check_fit

    with progress("loading MiniLM") as say:
        quantised = SentenceModel(weights).quantise(
            scheme, keep_float, lambda text: say(0, text=text)
        )
        for name, layer in quantised.layers.items():
            check_fit(name, layer.graph, config, memory_of(config))
    choices = quantised.choices
    if json:
        print_json("explain", choices, config=config)
        return
    share = f"{quantised.coverage:.1%} of the multiplications of a sentence"
    title = f"all-MiniLM-L6-v2 on {config.name}, linear layers: {share}; the rest runs on the host"
    show_choices(title, choices)


def _explain_network(
    model: str, config: AcceleratorConfig, keep_float: list[str], data: str | None, json: bool
) -> None:
    from weft.compiler.graph.network import BORDERS
    from weft.models.find import find_model

    from .compile import planned

    found = find_model(model, data, examples=2)
    plan = planned(found, config, keep_float, rough=True)
    reports = plan.reports
    if json:
        print_json("explain-network", reports, config=config)
        return
    total = sum(r.macs for r in reports)
    chip = [r for r in reports if r.where == "accelerator"]
    work = [r for r in reports if r.op not in BORDERS]
    share = sum(r.macs for r in chip) / total if total else 0.0
    cycles = sum(r.predicted_cycles or 0 for r in chip)
    note = f", {found.note}" if found.note else ""
    print_table(
        f"{found.name} on {config.name}{note}: {len(chip)} of {len(work)} operators, "
        f"{share:.1%} of {total:,} multiplications on the accelerator; {cycles:,} cycles predicted "
        "one after the other",
        reports,
        {
            "operator": lambda r: r.name,
            "op": lambda r: r.op,
            "where": lambda r: "chip" if r.where == "accelerator" else r.where,
            "unit": lambda r: r.unit,
            "with": lambda r: ", ".join(r.fused) or None,
            "output": lambda r: "x".join(map(str, r.output_shape[1:])),
            "MACs": lambda r: number(r.macs or None, ","),
            "cycles": lambda r: number(r.predicted_cycles, ","),
            "attainment": lambda r: number(r.attainment, ".3f"),
            "bound by": lambda r: r.bound,
            "KB read": lambda r: None if r.bytes_read is None else f"{r.bytes_read / 1000:,.1f}",
            "written": lambda r: (
                None if r.bytes_written is None else f"{r.bytes_written / 1000:,.1f}"
            ),
            "why on the host": lambda r: r.why if r.where == "host" else "",
        },
        left=4,
    )


def show_choices(title: str, choices: Sequence[Choice]) -> None:
    """A table with one row per layer."""
    print_table(
        title,
        choices,
        {
            "layer": lambda c: c.layer,
            "where": lambda c: c.where,
            "scheme": lambda c: c.scheme,
            "K x N": lambda c: f"{c.k} x {c.n}",
            "result": lambda c: c.result,
            "migrated": lambda c: "yes" if c.migration else "no",
            "SNR, dB": lambda c: number(c.snr_db, ".1f"),
            "spread": lambda c: number(c.output_spread, ".1f"),
            "why": lambda c: c.reason,
        },
        left=5,
    )
