"""The list of commands, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer

from weft import __version__
from weft.errors import UsageError, WeftError

from . import (
    asm,
    bench,
    bitstreams,
    board,
    build,
    cache,
    compare,
    compile,
    deploy,
    doctor,
    embed,
    evaluate,
    explain,
    isa,
    models,
    presets,
    run,
    synth,
    verilog,
)
from .output import show_error, warnings_shown

__all__ = ["app", "main"]

app = typer.Typer(
    name="weft",
    help="Weft: an FPGA accelerator for neural inference, from configuration to bit-exact results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"weft {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("doctor")(doctor.command)
app.command("presets")(presets.command)
app.command("verilog")(verilog.command)
app.command("build")(build.command)
app.command("isa")(isa.command)
app.command("asm")(asm.assemble)
app.command("disasm")(asm.disassemble)
app.add_typer(bench.app, name="bench")
app.command("synth")(synth.command)
app.command("run")(run.command)
app.add_typer(board.app, name="board")
app.add_typer(bitstreams.app, name="bitstreams")
app.command("deploy")(deploy.command)
app.command("demo")(compare.demo)
app.command("models")(models.command)
app.command("explain")(explain.command)
app.command("compile")(compile.command)
app.command("compare")(compare.command)
app.command("evaluate")(evaluate.command)
app.command("embed")(embed.embed)
app.command("search")(embed.search)
app.add_typer(cache.app, name="cache")


#: Errors without a path that are the machine's.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit.

    Exit codes: 0 done, 2 usage, 3 missing tool, 4 unsupported, 5 mismatch, 6 device. An error is
    one sentence on stderr, or with ``--json`` one object on stdout; there is no traceback for an
    error that Weft raises on purpose.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    try:
        with warnings_shown():
            code: Any = app(arguments, prog_name="weft", standalone_mode=False)
    except WeftError as error:
        sys.exit(show_error(error, as_json))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # a reader such as `head` has gone
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A path that the user named, or a full disk; anything else is a fault of Weft.
        if error.filename is None and error.errno not in _MACHINE:
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        cause = UsageError(f"{where}{error.strerror}", "name another path, or make it usable")
        sys.exit(show_error(cause, as_json))
    except MemoryError:
        cause = UsageError("this takes more memory than there is", "close other programs")
        sys.exit(show_error(cause, as_json))
    except Exception as error:
        # Typer's own usage errors; newer releases carry a private copy of click's classes.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        message = describe().rstrip(".")
        if not message:  # `weft` alone: the help is printed already
            sys.exit(2)
        sys.exit(show_error(UsageError(message, "see weft --help"), as_json))
    sys.exit(code if isinstance(code, int) else 0)
