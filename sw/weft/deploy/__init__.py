"""Brings overlays and programs to a real board."""
