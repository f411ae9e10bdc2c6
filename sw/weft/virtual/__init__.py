"""The simulated board: a PYNQ.remote server with the RTL behind it."""
