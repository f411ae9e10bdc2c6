"""The Verilated accelerator: a shared library per configuration, driven by ctypes."""
