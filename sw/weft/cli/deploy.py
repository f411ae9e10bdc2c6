"""``weft deploy``: put an overlay and a program on a board, and check both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.errors import UsageError

from . import options
from .output import show_reports

if TYPE_CHECKING:
    from weft.program import Program
    from weft_hw.boards import Board

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
    from weft.backend.pynq.facts import check_host
    from weft.program import Program

    if transport not in _TRANSPORTS:
        raise UsageError(f"--transport must be one of {', '.join(_TRANSPORTS)}, not {transport!r}")
    if board:
        options.find_board(board)
    loaded = Program.load(program)
    if not host:
        if transport == "ssh":
            raise UsageError("--transport ssh needs a board", "give --host ADDRESS")
        _over_pynq(program, loaded, overlay, "", port, board or None, json)
        return
    check_host(host)
    if transport == "auto":
        from weft.deploy.ssh import answering

        transport = answering(host, port, ssh_port or 22)
    if transport == "remote":
        _over_pynq(program, loaded, overlay, host, port, board or None, json)
    else:
        _over_ssh(program, loaded, overlay, host, user, ssh_port, board or None, json)


def _memory(program: Path, loaded: Program, board: Board, there: int, quiet: bool) -> None:
    """Say, before anything is sent, what the program needs of the board's memory."""
    from weft.backend.pynq.identity import require_cma

    needed = loaded.arena_bytes
    if not quiet:
        print(
            f"{program}: needs {needed / 2**20:.1f} MiB of {there / 2**20:.0f} MiB contiguous "
            f"memory of {board.name}",
            flush=True,
        )
    require_cma(str(program), needed, there)


def _over_pynq(
    program: Path,
    loaded: Program,
    overlay: Path | None,
    host: str,
    port: int,
    board: str | None,
    json: bool,
) -> None:
    """On the board that this runs on, or over PYNQ.remote."""
    from weft.backend.pynq.environment import delegate
    from weft.backend.pynq.facts import BoardFacts, remote_facts, which_board
    from weft.backend.pynq.identity import require_board
    from weft.backend.pynq.resolve import resolve_overlay
    from weft.bundle.manifest import Manifest
    from weft_hw.boards import pynq_board

    found = resolve_overlay(loaded.config, overlay, host, port, board)
    manifest = Manifest.load(found.with_suffix(".json"))
    loaded.require_config(manifest.config)
    if host:
        more = ("--overlay", str(found), "--transport", "remote")
        code = delegate(pynq_board(manifest.board).pynq.package, *more)
        if code is not None:
            raise typer.Exit(code)
        facts = remote_facts(host, port)
        here = which_board(facts, board)
    else:
        here = pynq_board(manifest.board)
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        facts = BoardFacts(here.pynq.name, text, virtual=False)
    if board is not None:
        require_board(board, here.pynq.name, "--board is")
    require_board(manifest.board, here.pynq.name)
    _memory(program, loaded, here, facts.cma_bytes(here), json)
    from weft.deploy.remote import Delivery, as_results, check, deploy_remote

    if host:
        done = deploy_remote(program, loaded, found, host, port)
        backend, reports = done.backend, done.reports
        delivery = Delivery("remote", done.stored, done.uploaded_bytes)
    else:
        from weft.backend.pynq.backend import PynqBackend

        backend = PynqBackend(found)
        reports = check(backend, loaded, program.name)
        delivery = Delivery("local", str(program), 0)
    with backend:
        results = as_results(backend, reports, delivery)
    show_reports("deploy", manifest.config, results, json)


def _over_ssh(
    program: Path,
    loaded: Program,
    overlay: Path | None,
    host: str,
    user: str,
    ssh_port: int | None,
    board: str | None,
    json: bool,
) -> None:
    from weft.backend.pynq.facts import which_board
    from weft.backend.pynq.identity import require_board
    from weft.bundle.manifest import Manifest
    from weft.bundle.store import choose
    from weft.deploy.over_ssh import deploy_over_ssh, probe
    from weft.deploy.ssh import Ssh

    connection = Ssh(host, user, ssh_port)
    found = probe(connection)
    here = which_board(found.facts, board)
    chosen = overlay or choose(loaded.config, here.name, virtual=False).bitstream
    manifest = Manifest.load(chosen.with_suffix(".json"))
    loaded.require_config(manifest.config)
    require_board(manifest.board, here.pynq.name)
    _memory(program, loaded, here, found.facts.cma_bytes(here), json)
    done = deploy_over_ssh(connection, found, program, chosen)
    show_reports("deploy", manifest.config, done.results, json)
    if not json:
        print(f"to run it on the board:\n    {done.command}")
