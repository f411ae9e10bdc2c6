"""One zip with all that a board without internet needs: wheel, overlay, program, notebook."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path

import weft
import weft_hw
from weft.artefact.loading import single_program
from weft.bundle.manifest import Manifest
from weft.files.untrusted import safe_name

__all__ = ["offline_zip", "wheel"]

_README = """Copy this folder to the board, then there, as root, in the Python of the PYNQ image:

    pip install --no-index --no-deps {wheel}
    python3 -m weft.deploy.onboard deploy overlay/{name}.bit {program}
    python3 -m weft.deploy.onboard run overlay/{name}.bit {program} --input X.npy

"deploy" checks registers, DMA and one product against the emulator, then the program; both commands
print one line of JSON. In Jupyter: WEFT_OVERLAY is the path of the .bit, then open product.ipynb.

As root in the image's Python means, at a terminal:

    sudo bash
    . /etc/profile.d/xrt_setup.sh; . /etc/profile.d/pynq_venv.sh

The program {program} needs {arena} contiguous bytes; the image of {board} sets {cma} aside.
The command `weft` needs the packages typer and rich; weft.deploy.onboard and the driver need numpy
and pynq, which the image has.
"""
_ENTRY_POINTS = """[pynq.lib]
weft = weft.backend.pynq.ip

[pynq.notebooks]
weft = weft.notebooks

[pynq.overlays]
weft = weft.overlays
"""


def wheel() -> tuple[str, bytes]:
    """(file name, content) of a pure-Python wheel of this very installation."""
    tag = f"weft-{weft.__version__}"
    files: dict[str, bytes] = {}
    for package in (weft, weft_hw):
        assert package.__file__ is not None
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{root.name}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    info = f"{tag}.dist-info"
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: weft\nVersion: {weft.__version__}\n"
        "Requires-Python: >=3.10\nRequires-Dist: numpy>=1.24\n"
    ).encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: weft\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{info}/entry_points.txt"] = _ENTRY_POINTS.encode()
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    return f"{tag}-py3-none-any.whl", _zip(files)


def offline_zip(program: Path, overlay: Path) -> bytes:
    """Content of the zip.

    Raises
    ------
    Mismatch
        The program is for another configuration than the overlay, or a file was changed.
    UsageError
        A file is missing.
    """
    manifest = Manifest.load(overlay.with_suffix(".json"))
    manifest.verify(overlay.parent)
    bitstream = manifest.bitstream(overlay.parent)
    loaded = single_program(program)
    loaded.require_config(manifest.config)
    from weft_hw.boards import pynq_board

    board = pynq_board(manifest.board)
    name, content = wheel()
    stored = safe_name(program.name)
    files = {name: content, stored: program.read_bytes()}
    for suffix in (".bit", ".hwh", ".json"):
        path = bitstream.with_suffix(suffix)
        files[f"overlay/{path.name}"] = path.read_bytes()
    notebooks = Path(weft.__file__ or "").parent / "notebooks"
    files["product.ipynb"] = (notebooks / "product.ipynb").read_bytes()
    files["README.txt"] = _README.format(
        wheel=name,
        name=manifest.name,
        program=stored,
        arena=loaded.arena_bytes,
        board=board.name,
        cma=board.pynq.cma_bytes,
    ).encode()
    return _zip(files)


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip that depends on the files only, not on the time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()
