"""Tiles, addresses and order of work."""
