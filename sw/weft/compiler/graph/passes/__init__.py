"""From what a model says to what the accelerator runs: passes from network to network.

Every pass leaves a network that verifies. Their order stands in :mod:`weft.runtime.compile`.
"""
