"""``weft deploy``: put an overlay and a program on a board, and check both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

import typer

from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.program import Program
    from weft_hw.boards import Board

__all__ = ["command"]

_TRANSPORTS = ("auto", "remote", "ssh")


def command(
    program: Path = typer.Argument(help="A .weft file."),
    host: str = typer.Option("", "--host", help="The board; this machine if not given."),
    board: Optional[str] = typer.Option(  # noqa: UP045  (typer reads it at run time)
        None, "--board", help="What the board has to be; see weft board list."
    ),
    overlay: Optional[Path] = typer.Option(  # noqa: UP045
        None,
        "--overlay",
        help=".bit, with .hwh and manifest beside it; by default the one of bitstreams/, or of "
        "your own folder, that fits program and board.",
    ),
    transport: str = typer.Option(
        "auto", "--transport", help="remote (PYNQ.remote), ssh, or auto: what answers."
    ),
    user: str = typer.Option("xilinx", "--user", help="ssh: who logs in."),
    ssh_port: Optional[int] = typer.Option(  # noqa: UP045
        None, "--ssh-port", help="ssh: its port, where your ssh configuration does not say."
    ),
    port: int = typer.Option(7967, "--port", help="remote: of the board's PYNQ.remote server."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Upload overlay and program, run the board's self-test, then the program against the
    emulator."""
    from weft.backend.pynq.facts import check_host
    from weft.program import Program

    from .lookup import find_board

    if transport not in _TRANSPORTS:
        raise UsageError(f"--transport must be one of {', '.join(_TRANSPORTS)}, not {transport!r}")
    if board is not None:
        find_board(board)
    loaded = Program.load(program)
    if not host:
        if transport == "ssh":
            raise UsageError("--transport ssh needs a board", "give --host ADDRESS")
        _over_pynq(program, loaded, overlay, "", port, board, json)
        return
    check_host(host)
    if transport == "auto":
        from weft.deploy.ssh import answering

        transport = answering(host, port, ssh_port or 22)
    if transport == "remote":
        _over_pynq(program, loaded, overlay, host, port, board, json)
    else:
        _over_ssh(program, loaded, overlay, host, user, ssh_port, board, json)


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

    from .session import show_results

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
    from weft.deploy.remote import as_results, check, deploy_remote

    if host:
        done = deploy_remote(program, loaded, found, host, port)
        backend, reports = done.backend, done.reports
        more_fields = {"stored": done.stored, "uploaded_bytes": done.uploaded_bytes}
    else:
        from weft.backend.pynq.backend import PynqBackend

        backend = PynqBackend(found)
        reports = check(backend, loaded, program.name)
        more_fields = {"stored": str(program), "uploaded_bytes": 0}
    with backend:
        way = "remote" if host else "local"
        results = as_results(backend, reports, transport=way, **more_fields)
    show_results("deploy", manifest.config, results, json)


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

    from .session import show_results

    connection = Ssh(host, user, ssh_port)
    found = probe(connection)
    here = which_board(found.facts, board)
    chosen = overlay or choose(loaded.config, here.name, virtual=False).bitstream
    manifest = Manifest.load(chosen.with_suffix(".json"))
    loaded.require_config(manifest.config)
    require_board(manifest.board, here.pynq.name)
    _memory(program, loaded, here, found.facts.cma_bytes(here), json)
    done = deploy_over_ssh(connection, found, program, chosen)
    show_results("deploy", manifest.config, done.results, json)
    if not json:
        print(f"to run it on the board:\n    {done.command}")
