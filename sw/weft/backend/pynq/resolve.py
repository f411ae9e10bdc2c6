"""Which overlay a board is loaded with, where the user does not name one."""

from __future__ import annotations

from pathlib import Path

from weft.bundle.store import choose, find
from weft.errors import UsageError
from weft_hw.config import AcceleratorConfig

from .facts import check_host, remote_facts, which_board

__all__ = ["resolve_overlay"]


def resolve_overlay(
    config: AcceleratorConfig, overlay: Path | None, host: str, port: int, board: str | None = None
) -> Path:
    """`overlay`, or the one of `config` that the board at `host` can be loaded with.

    Raises
    ------
    UsageError, Mismatch, DeviceError
        There is none, the board is not `board`, or it does not answer.
    """
    if overlay is not None:
        return overlay
    if not host:
        found = find(config, board)[0]
        if found.manifest.kind == "virtual":
            raise UsageError(
                f"the overlays of {config.name} ({config.hash}) are for virtual boards only",
                "build one with Vivado, then weft bitstreams add",
            )
        return found.bitstream
    check_host(host)
    facts = remote_facts(host, port)
    return choose(config, which_board(facts, board).name, facts.virtual).bitstream
