"""The Verilated accelerator as a shared library: built once per configuration, driven by ctypes."""
