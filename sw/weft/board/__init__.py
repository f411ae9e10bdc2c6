"""Boards: finding them, and the virtual one that the real pynq package talks to."""
