"""Notebooks that ``pynq get-notebooks weft`` delivers."""
