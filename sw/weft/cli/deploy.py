"""``weft deploy``: put an overlay and a program on a board, and check both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError

from . import options
from .output import show_reports

if TYPE_CHECKING:
    from weft.backend.pynq.identity import BoardFacts
    from weft.bundle.store import Found
    from weft.program import Program

__all__ = ["command"]

_TRANSPORTS = ("auto", "remote", "ssh")


def command(
    program: options.ProgramFile,
    host: options.Host = "",
    board: options.Board = "",
    overlay: options.Overlay = None,
    transport: Annotated[
        str, typer.Option("--transport", help="remote (PYNQ.remote), ssh, or auto: what answers.")
    ] = "auto",
    user: Annotated[str, typer.Option("--user", help="ssh: who logs in.")] = "xilinx",
    ssh_port: Annotated[
        int | None,
        typer.Option(
            "--ssh-port", help="ssh: its port, where your ssh configuration does not say."
        ),
    ] = None,
    port: options.Port = 7967,
    json: options.Json = False,
) -> None:
    """Upload overlay and program, run the board's self-test, then the program against the
    emulator.

    --board says what the board has to be.
    """
    from weft.artefact.loading import single_program
    from weft.backend.pynq.identity import BoardFacts, check_host
    from weft.backend.pynq.process import board_facts, local_overlay
    from weft.bundle.manifest import Manifest
    from weft.deploy.over_ssh import deploy_over_ssh, probe
    from weft.deploy.remote import deploy
    from weft.deploy.ssh import Ssh, answering

    if transport not in _TRANSPORTS:
        raise UsageError(f"--transport must be one of {', '.join(_TRANSPORTS)}, not {transport!r}")
    if board:
        options.find_board(board)
    loaded = single_program(program)
    if host:
        check_host(host)
        if transport == "auto":
            transport = answering(host, port, ssh_port or 22)
    elif transport == "ssh":
        raise UsageError("--transport ssh needs a board", "give --host ADDRESS")
    if transport == "ssh":
        there = probe(Ssh(host, user, ssh_port))
        facts = there.facts
    elif host:
        facts = board_facts(host, port)
    else:  # the board that this runs on is taken to be the overlay's
        overlay = overlay or local_overlay(loaded.config, board or None)
        own = options.find_board(Manifest.load(overlay.with_suffix(".json")).board)
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        facts = BoardFacts(own.pynq.name, text, virtual=False)
    found = _overlay_for(loaded, overlay, facts, board or None)
    _require_memory(program, loaded.arena_bytes, facts, board or found.manifest.board, quiet=json)
    if transport != "ssh":
        results = deploy(program, loaded, found.bitstream, host, port)
        show_reports("deploy", found.manifest.config, results, json)
        return
    done = deploy_over_ssh(Ssh(host, user, ssh_port), there, program, found.bitstream)
    show_reports("deploy", found.manifest.config, done.results, json)
    if not json:
        print(f"to run it on the board:\n    {done.command}")


def _overlay_for(
    program: Program, overlay: Path | None, facts: BoardFacts, board: str | None
) -> Found:
    """The overlay for a board, after all that can be checked before anything is sent."""
    from weft.backend.pynq.identity import require_board, which_board
    from weft.bundle.manifest import Manifest
    from weft.bundle.store import Found, choose

    here = which_board(facts, board)
    if overlay is None:
        found = choose(program.config, here.name, facts.virtual)
    else:
        found = Found(overlay, Manifest.load(overlay.with_suffix(".json")))
    program.require_config(found.manifest.config)
    require_board(found.manifest.board, here.pynq.name)
    return found


def _require_memory(
    program: Path, needed: int, facts: BoardFacts, board: str, *, quiet: bool
) -> None:
    """Say what the program needs of the board's memory, and refuse what is not there."""
    from weft.backend.pynq.identity import require_cma

    there = facts.cma_bytes(options.find_board(board))
    if not quiet:
        print(
            f"{program}: needs {needed / 2**20:.1f} MiB of {there / 2**20:.0f} MiB contiguous "
            f"memory of {board}",
            flush=True,
        )
    require_cma(str(program), needed, there)
