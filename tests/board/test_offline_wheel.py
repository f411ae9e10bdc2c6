"""The wheel of the offline bundle says what the project's metadata say."""

from __future__ import annotations

import configparser
import io
import sys
import zipfile
from pathlib import Path

from weft.deploy.offline import wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def test_entry_points_of_pynq():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    _, raw = wheel()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        given = configparser.ConfigParser()
        given.read_string(archive.read(name).decode())
    assert {s: dict(given[s]) for s in given.sections()} == project["entry-points"]
