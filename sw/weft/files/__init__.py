"""Files and what stands in them: names and JSON from outside, whole outputs, private caches, .bit.

Standard library only: this runs on a board.
"""
