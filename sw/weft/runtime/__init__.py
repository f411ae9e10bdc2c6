"""Runs quantised layers and models on a backend."""
