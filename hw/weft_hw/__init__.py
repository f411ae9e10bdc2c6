"""Weft's gateware and the contract between hardware and software.

``config``, ``isa``, ``numerics``, ``registers``, ``boards`` and ``platform`` import neither
Amaranth nor torch.
"""

__version__ = "0.1.0"
