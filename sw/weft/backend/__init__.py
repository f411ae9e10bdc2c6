"""Devices that run a compiled program, behind one interface: :class:`weft.backend.base.Backend`."""
