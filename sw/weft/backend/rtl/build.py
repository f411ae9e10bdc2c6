"""Build the simulator of a configuration: Verilog, Verilator, C++, one shared library, cached.

A library is kept under ``$WEFT_CACHE/rtl`` (``~/.cache/weft/rtl`` by default) by the hash of
everything that goes into it, so that a second process finds it and a change makes a new one.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from weft import tools
from weft.errors import UsageError, WeftError
from weft.files.cache import cache_dir
from weft.files.once import gateware_digest, once
from weft_hw.config import AcceleratorConfig

__all__ = ["BuildFailed", "library", "library_from_verilog", "verilog"]

Progress = Callable[[str], None]

_HERE = Path(__file__).parent
_SOURCES = ("dram.h", "dram.cpp", "harness.cpp")
_VERILATOR = (
    "--cc --exe --top-module weft_top --prefix Vweft_top -O3 --x-assign fast --x-initial fast "
    "--noassert --no-timing --output-split 6000 --output-split-cfuncs 1500 -Wno-fatal -Wno-lint "
    "-Wno-style"
).split()
#: No -march=native: a cache may be shared by machines.
_CXXFLAGS = "-fPIC -fvisibility=hidden -fno-plt"
_MAKE = ("OPT_FAST=-O3", "OPT_SLOW=-O1", "OPT_GLOBAL=-O2")
_JOBS = 2


#: What the machine refuses, as the tools and the system say it -> what helps.
_REMEDIES = {
    "No space left on device": "free some of that disk, or set WEFT_CACHE to a folder elsewhere",
    "Disk quota exceeded": "free some of your quota, or set WEFT_CACHE to a folder elsewhere",
    "File too large": "lift the limit on the size of files (ulimit -f)",
    "Read-only file system": "set WEFT_CACHE to a folder that can be written",
    "Killed signal terminated program": "give the compiler more memory: the kernel ended it",
    "virtual memory exhausted": "give the compiler more memory",
    "Cannot allocate memory": "give the compiler more memory",
}


class BuildFailed(WeftError):
    """A step of the build failed; the message ends with the end of its output."""

    code = "build-failed"
    exit_code = 3


def library(
    config: AcceleratorConfig, trace: bool = False, progress: Progress | None = None
) -> Path:
    """Shared library that simulates `config`; built if the cache has none.

    Parameters
    ----------
    trace : bool
        Able to write VCD traces; such a build is slower and kept apart.
    progress : callable, optional
        Called with a short sentence at each step of a build.

    Raises
    ------
    ToolMissing
        Verilator, g++, make or perl is not installed.
    BuildFailed
        A step of the build failed.
    """
    return library_from_verilog(verilog(config, progress), config, trace, progress)


def verilog(config: AcceleratorConfig, progress: Progress | None = None) -> Path:
    """``weft_top.v`` of `config`, cached by the configuration and the generator's sources."""
    digest = _hash([config.hash.encode(), gateware_digest().encode()])
    target = cache_dir() / "verilog" / digest

    def make(temporary: Path) -> None:
        from amaranth._toolchain.yosys import YosysError

        from weft_hw.verilog import emit

        _say(progress, f"{config.name}: generating Verilog")
        try:
            emit(config, temporary)
        except YosysError as error:
            raise OSError(0, str(error).splitlines()[-1]) from None

    return _made(target, make) / "weft_top.v"


def library_from_verilog(
    source: Path, config: AcceleratorConfig, trace: bool = False, progress: Progress | None = None
) -> Path:
    """Shared library of any Verilog with a module ``weft_top`` that has the ports of `config`."""
    verilator = str(tools.require_simulator() / "bin" / "verilator_bin")
    ports = _ports_header(config)
    parts = [
        source.read_bytes(),
        ports.encode(),
        *((_HERE / name).read_bytes() for name in _SOURCES),
        " ".join([tools.verilator_version(), *_VERILATOR, _CXXFLAGS, *_MAKE]).encode(),
        b"trace" if trace else b"",
    ]
    target = cache_dir() / "rtl" / _hash(parts)

    def make(folder: Path) -> None:
        env, work = tools.simulator_environment(), folder / "work"
        work.mkdir()
        (work / "weft_ports.h").write_text(ports, encoding="utf-8")
        shutil.copy(source, folder / "weft_top.v")
        harness = [str(_HERE / s) for s in _SOURCES if s.endswith(".cpp")]
        command = [verilator, *_VERILATOR, *(["--trace"] if trace else [])]
        command += ["--Mdir", str(work), "-CFLAGS", f"{_CXXFLAGS} -I{_HERE} -I{work}"]
        command += ["-LDFLAGS", "-shared", "-o", str(folder / "libweft.so"), str(source), *harness]
        _say(progress, f"{config.name}: Verilating")
        _step(command, env, folder / "verilator.log")
        _say(progress, f"{config.name}: compiling the simulator (once per configuration)")
        command = ["make", f"-j{_JOBS}", "-C", str(work), "-f", "Vweft_top.mk", *_MAKE]
        command += [f"VERILATOR_ROOT={env['VERILATOR_ROOT']}", f"PYTHON3={sys.executable}"]
        command += ["PERL=perl"]
        _step(command, env, folder / "make.log")
        shutil.rmtree(work)

    return _made(target, make) / "libweft.so"


def _made(target: Path, make: Callable[[Path], None]) -> Path:
    """:func:`~weft.files.once.once`, with what the machine refuses as a failed build."""
    try:
        return once(target, make)
    except (OSError, UsageError) as error:
        reason = error.message if isinstance(error, UsageError) else f"{error.strerror or error}"
        remedies = [remedy for sign, remedy in _REMEDIES.items() if sign in reason]
        if isinstance(error, UsageError) and not remedies:
            raise
        raise BuildFailed(
            f"the simulator was not built in {target.parent}: {reason}",
            *(remedies or ["look at that folder, or set WEFT_CACHE to another"])[:1],
        ) from None


def _step(command: list[str], env: dict[str, str], log: Path) -> None:
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            command, env=env, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")
        name = Path(command[0]).name
        for sign, remedy in _REMEDIES.items():
            if sign in said:
                raise BuildFailed(f"{name} failed in {log.parent.parent}: {sign}", remedy)
        if done.returncode < 0:
            raise BuildFailed(
                f"{name} was ended by {signal.strsignal(-done.returncode)}",
                "look for what ended it; where it was the kernel, give it more memory",
            )
        tail = "\n".join(said.splitlines()[-25:])
        raise BuildFailed(
            f"{name} ended with status {done.returncode}:\n{tail}",
            "this is a fault of the toolchain or of the generated Verilog",
        )


def _ports_header(config: AcceleratorConfig) -> str:
    each = " ".join(f"X({p})" for p in range(config.axi_ports))
    return (
        f"#define WEFT_PORTS {config.axi_ports}\n"
        f"#define WEFT_BEAT_BYTES {config.beat_bytes}\n"
        f"#define WEFT_AXI3 {int(config.axi_protocol == 'axi3')}\n"
        f"#define WEFT_EACH_PORT(X) {each}\n"
    )


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:24]


def _say(progress: Progress | None, text: str) -> None:
    if progress is not None:
        progress(text)
