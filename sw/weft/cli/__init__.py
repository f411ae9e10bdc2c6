"""The command line ``weft``: one file per command, each importing what it needs when it runs.

``weft --help``, ``presets``, ``isa`` and ``doctor`` import neither torch nor Amaranth.
"""

from .app import app, main

__all__ = ["app", "main"]
