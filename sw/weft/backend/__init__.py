"""Devices that run programs, or graphs, behind one interface; `opening` is their only list."""
