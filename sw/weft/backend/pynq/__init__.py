"""A PYNQ board: local, remote over PYNQ.remote, or virtual."""
