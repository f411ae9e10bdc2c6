"""Weft's toolchain: programs, compiler, backends, command line.

Importing this package imports neither torch nor Amaranth.
"""

__version__ = "0.1.0"
