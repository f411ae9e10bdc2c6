"""``weft deploy``: put an overlay and a program on a board, and check both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from weft.errors import UsageError

from .board import show_results

if TYPE_CHECKING:
    from weft.backend.pynq.identity import BoardFacts
    from weft.program import Program

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
    from weft.backend.pynq.identity import check_host
    from weft.deploy.ssh import answering
    from weft.program import Program

    from .lookup import find_board

    if transport not in _TRANSPORTS:
        raise UsageError(f"--transport must be one of {', '.join(_TRANSPORTS)}, not {transport!r}")
    if board is not None:
        find_board(board)
    fit = _Fit(program, Program.load(program), overlay, board, quiet=json)
    if host:
        check_host(host)
        if transport == "auto":
            transport = answering(host, port, ssh_port or 22)
    elif transport == "ssh":
        raise UsageError("--transport ssh needs a board", "give --host ADDRESS")
    command = None
    if transport == "ssh":
        results, command = _over_ssh(fit, host, user, ssh_port)
    else:
        results = _over_pynq(fit, host, port)
    show_results("deploy", fit.program.config, results, json)
    if command is not None and not json:
        print(f"to run it on the board:\n    {command}")


@dataclass(frozen=True)
class _Fit:
    """A program, and what was asked of overlay and board."""

    path: Path
    program: Program
    overlay: Path | None
    board: str | None
    quiet: bool

    def overlay_for(self, facts: BoardFacts) -> Path:
        """The overlay for a board, after what can be checked before anything is sent.

        It says what the program needs of the board's memory.
        """
        from weft.backend.pynq.identity import require_board, require_cma, which_board
        from weft.bundle.manifest import Manifest
        from weft.bundle.store import choose

        config, here = self.program.config, which_board(facts, self.board)
        found = self.overlay or choose(config, here.name, facts.virtual).bitstream
        manifest = Manifest.load(found.with_suffix(".json"))
        self.program.require_config(manifest.config)
        require_board(manifest.board, here.pynq.name)
        needed, there = self.program.arena_bytes, facts.cma_bytes(here)
        if not self.quiet:
            print(
                f"{self.path}: needs {needed / 2**20:.1f} MiB of {there / 2**20:.0f} MiB "
                f"contiguous memory of {here.name}",
                flush=True,
            )
        require_cma(str(self.path), needed, there)
        return found


def _over_pynq(fit: _Fit, host: str, port: int) -> list[dict[str, Any]]:
    """On a board that answers PYNQ.remote, or on the one that this runs on."""
    from weft.backend.pynq.identity import BoardFacts
    from weft.backend.pynq.process import board_facts, local_overlay
    from weft.bundle.manifest import Manifest
    from weft.deploy.remote import deploy
    from weft_hw.boards import pynq_board

    if host:
        facts = board_facts(host, port)
    else:
        # The board that this runs on is taken to be the overlay's.
        found = fit.overlay or local_overlay(fit.program.config, fit.board)
        name = pynq_board(Manifest.load(found.with_suffix(".json")).board).pynq.name
        facts = BoardFacts(name, Path("/proc/meminfo").read_text(encoding="utf-8"), virtual=False)
        fit = replace(fit, overlay=found)
    return deploy(fit.path, fit.program, fit.overlay_for(facts), host, port)


def _over_ssh(
    fit: _Fit, host: str, user: str, ssh_port: int | None
) -> tuple[list[dict[str, Any]], str]:
    """Results, and the command that runs the program on the board."""
    from weft.deploy.over_ssh import deploy_over_ssh, probe
    from weft.deploy.ssh import Ssh

    connection = Ssh(host, user, ssh_port)
    there = probe(connection)
    done = deploy_over_ssh(connection, there, fit.path, fit.overlay_for(there.facts))
    return done.results, done.command
