"""The register-level driver: the same code drives the Verilated RTL and a board."""
