"""Overlays that ``pynq.Overlay("NAME.bit")`` finds from any directory: a ``pynq.overlays`` entry
point. ``weft bitstreams add --install`` puts them here."""
