"""Overlay bundles: everything that a PYNQ board, Vivado or a virtual board needs of one overlay."""

from __future__ import annotations

from .build import Bundle, build
from .manifest import Manifest
from .overlay import Overlay

__all__ = ["Bundle", "Manifest", "Overlay", "build"]
