"""From a configuration to a bitstream of an xc7z020 with Yosys, nextpnr and Project X-Ray."""

from __future__ import annotations

from .bitstream import make_bitstream
from .flow import Route, check_overlay, route
from .tools import Tools, find_tools

__all__ = ["Route", "Tools", "check_overlay", "find_tools", "make_bitstream", "route"]
