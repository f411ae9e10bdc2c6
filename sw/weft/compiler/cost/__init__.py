"""Cycles of any program, predicted."""
